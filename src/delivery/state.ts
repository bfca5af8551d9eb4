/**
 * Whether a destination notifies. `held`: its receiver is at fault, or it cannot be made; `paused`: the operator wants it
 * so. Then nothing is read for it, and the journal keeps what is recorded.
 */
export interface DestinationState {
  readonly name: "delivering" | "held" | "paused";
  /** ISO 8601. */
  readonly since: string;
  /** Why it is held. */
  readonly reason?: string;
  /** Who paused it, as far as that is known. */
  readonly by?: string;
}

export function delivering(): DestinationState {
  return { name: "delivering", since: new Date().toISOString() };
}

export function heldBecause(reason: string): DestinationState {
  return { name: "held", since: new Date().toISOString(), reason };
}

/** `paused since … by jdoe`, `held since …: why` */
export function describeState({ name, since, by, reason }: DestinationState): string {
  return `${name} since ${since}${by === undefined ? "" : ` by ${by}`}${reason === undefined ? "" : `: ${reason}`}`;
}
