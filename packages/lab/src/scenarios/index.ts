/** All scenarios, in the order in which they make sense to a newcomer. */
import { provision } from './provision.ts';
import type { Scenario } from './scenario.ts';

export const scenarios: readonly Scenario[] = [provision];
