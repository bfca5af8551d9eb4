// Loaded before a program (node --import): its wall clock then differs from the real one by as many milliseconds as stand in
// the file CLOCK_FILE, and can be set while it runs. The monotonic clock is the real one, as when an operator sets the time.
import { readFileSync } from "node:fs";

const RealDate = Date;
const now = () => RealDate.now() + Number(readFileSync(process.env.CLOCK_FILE, "utf8"));

globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(now());
    else super(...args);
  }

  static now() {
    return now();
  }
};
