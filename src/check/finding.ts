/** What `ocnotify check` found of one part: a line of its output. */
export interface Finding {
  /** The part: stable, for programs. */
  readonly part: "dovecot" | "plugin" | "settings" | "journal" | "space" | "daemon" | "memcached" | "user" | "host";
  /** `warning`: notifications go through, but not all that one may expect; `fault`: somebody has to act. */
  readonly state: "ok" | "warning" | "fault";
  readonly message: string;
  /** What to do, where something is to be done. */
  readonly remedy?: string;
}

export const ok = (part: Finding["part"], message: string): Finding => ({ part, state: "ok", message });

export const warning = (part: Finding["part"], message: string, remedy: string): Finding => ({
  part,
  state: "warning",
  message,
  remedy,
});

export const fault = (part: Finding["part"], message: string, remedy: string): Finding => ({
  part,
  state: "fault",
  message,
  remedy,
});
