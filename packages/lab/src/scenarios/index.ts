/** All scenarios, in the order in which they make sense to a newcomer. */
import { appConsistent } from './app-consistent.ts';
import { approve } from './approve.ts';
import { blocked } from './blocked.ts';
import { crash } from './crash.ts';
import { diskDrop } from './disk-drop.ts';
import { drift } from './drift.ts';
import { foreign } from './foreign.ts';
import { guestLoss } from './guest-loss.ts';
import { hostileGuest } from './hostile-guest.ts';
import { hubDown } from './hub-down.ts';
import { nodeReboot } from './node-reboot.ts';
import { provision } from './provision.ts';
import { restoreTest } from './restore-test.ts';
import { restoreUndo } from './restore-undo.ts';
import type { Scenario } from './scenario.ts';
import { standalone } from './standalone.ts';
import { workerKilled } from './worker-killed.ts';

export const scenarios: readonly Scenario[] = [
  provision,
  crash,
  workerKilled,
  nodeReboot,
  drift,
  blocked,
  approve,
  appConsistent,
  diskDrop,
  restoreTest,
  guestLoss,
  restoreUndo,
  hostileGuest,
  hubDown,
  standalone,
  foreign,
];
