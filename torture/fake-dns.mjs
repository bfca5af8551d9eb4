// Loaded into the daemon before its own code: names under .test are looked up in the file OCNOTIFY_TORTURE_HOSTS, one
// `name address` a line, and fail as an unknown name or a silent name server does when they are not there.
import dns from "node:dns";
import { readFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const real = dns.lookup;
let failures = 0;

dns.lookup = (name, options, callback) => {
  if (!name.endsWith(".test")) {
    real(name, options, callback);
    return;
  }
  const done = typeof options === "function" ? options : callback;
  const all = typeof options === "object" && options.all === true;
  const lines = readFileSync(process.env.OCNOTIFY_TORTURE_HOSTS, "utf8").split("\n");
  const address = lines.map((line) => line.split(" ")).find(([known]) => known === name)?.[1];
  setImmediate(() => {
    if (address === undefined) {
      failures++;
      const code = failures % 2 === 0 ? "ENOTFOUND" : "EAI_AGAIN";
      done(Object.assign(new Error(`getaddrinfo ${code} ${name}`), { code, hostname: name }));
    } else if (all) done(null, [{ address, family: 4 }]);
    else done(null, address, 4);
  });
};
syncBuiltinESMExports();
