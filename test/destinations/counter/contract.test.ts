import { destinationContract } from "../../helpers/destination-contract.ts";
import { kind } from "./kind.ts";

destinationContract("the example of docs/destinations.md", async () => ({ kind, written: { sizes: true } }));
