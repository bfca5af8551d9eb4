/** A line of the table: a figure next to what it is compared with. */
export interface Row {
  readonly what: string;
  readonly figure: string;
  /** What it is compared with, measured in the same run, and how the two relate. */
  readonly against?: string;
  readonly ratio?: string;
  readonly bar?: string;
  readonly met?: boolean;
}

export interface PartResult {
  readonly rows: readonly Row[];
  /** Every figure behind the rows, for results.json. */
  readonly data: Readonly<Record<string, unknown>>;
  /** What is broken, such as a lost notification: not a slow figure. */
  readonly broken: readonly string[];
}

export interface Bench {
  /** A new folder, in memory where there is room. */
  readonly newFolder: (name: string) => string;
  /** Registers what is to be stopped at the end of the part, last first. */
  readonly atEnd: (undo: () => unknown) => void;
  readonly say: (text: string) => void;
  /** Records of a round of the throughput and of the backlogs. */
  readonly records: number;
  /** Minutes for the memory to stay flat. */
  readonly minutes: number;
}

export interface Part {
  readonly name: string;
  /** What it measures, in a few words. */
  readonly title: string;
  readonly run: (bench: Bench) => Promise<PartResult>;
}

/** `1.23 ms`, from nanoseconds. */
export function ms(nanoseconds: number): string {
  return `${(nanoseconds / 1e6).toFixed(2)} ms`;
}

/** `123,456` */
export function thousands(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** A share as a signed percentage. */
export function percent(share: number): string {
  return `${signed(share * 100, 1)} %`;
}

export function signed(value: number, digits = 0): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}
