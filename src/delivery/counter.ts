/** What a counter of the status means, and what to do when it counts a loss. */
export interface Counter {
  readonly meaning: string;
  /**
   * Absent where nothing is lost and nothing left. `fault`: it is so now, and ends when somebody acts; `warning`: it has
   * happened since the daemon's start; `alarm`: nothing is lost yet, and soon will be.
   */
  readonly loss?: "fault" | "warning" | "alarm";
  /** What to do about a loss. */
  readonly remedy?: string;
}

export const counter = (meaning: string): Counter => ({ meaning });
export const fault = (meaning: string, remedy: string): Counter => ({ meaning, loss: "fault", remedy });
export const alarm = (meaning: string, remedy: string): Counter => ({ meaning, loss: "alarm", remedy });
export const warning = (meaning: string, remedy: string): Counter => ({ meaning, loss: "warning", remedy });
