// Loaded before a program (node --import): inotify then tells it of nothing, as on some network file systems.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const { watch } = fs;
fs.watch = (path) => watch(path);
syncBuiltinESMExports();
