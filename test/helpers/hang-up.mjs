// Loaded before a program (node --import): it gets SIGHUP as soon as it listens for that.
process.once("newListener", function sayWhenListened(event) {
  if (event === "SIGHUP") setImmediate(() => process.kill(process.pid, "SIGHUP"));
  else process.once("newListener", sayWhenListened);
});
