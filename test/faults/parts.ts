/** All faults, in the order in which they are run. */
import { clock } from "./clock.ts";
import { damage } from "./damage.ts";
import { disk } from "./disk.ts";
import { kills } from "./kills.ts";
import { frozen, halfOpen } from "./links.ts";
import { partition } from "./partition.ts";
import { lies } from "./lies.ts";
import type { FaultPart } from "./part.ts";
import { sweep } from "./sweep.ts";
import { takeover } from "./takeover.ts";
import { flapping, slowConsumer } from "./weather.ts";

export const PARTS: readonly FaultPart[] = [
  sweep,
  kills,
  frozen,
  halfOpen,
  partition,
  flapping,
  slowConsumer,
  damage,
  disk,
  lies,
  takeover,
  clock,
];
