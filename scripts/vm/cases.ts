/** All tests of the VM, in the order in which they run. */
import type { VmCase } from './case.ts';
import { memoryIsLimited, reachesReady, watchdogEndsAHungAgent } from './cases/agent-unit.ts';
import { guestServesWithoutAgent } from './cases/guest-goes-on.ts';
import { refusesWhatIsNoVerb } from './cases/root-helper.ts';
import { mountsByUuid, refusesAnotherDisk, tellsAPulledStick } from './cases/sticks.ts';

export const cases: readonly VmCase[] = [
  reachesReady,
  watchdogEndsAHungAgent,
  memoryIsLimited,
  refusesWhatIsNoVerb,
  guestServesWithoutAgent,
  mountsByUuid,
  tellsAPulledStick,
  refusesAnotherDisk,
];
