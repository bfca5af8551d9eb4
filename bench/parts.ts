import type { Part } from "./part.ts";
import { delivery } from "./parts/delivery.ts";
import { growth } from "./parts/growth.ts";
import { backlog, latency } from "./parts/latency.ts";
import { memory } from "./parts/memory.ts";
import { start } from "./parts/start.ts";
import { throughput } from "./parts/throughput.ts";

/** In the order in which they run. */
export const PARTS: readonly Part[] = [delivery, throughput, growth, latency, backlog, memory, start];
