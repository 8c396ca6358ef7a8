/** The sections in the order of the document. */
import { loopDrops, stickPulls } from './drop-latency.ts';
import { hostileGuest } from './hostile-guest.ts';
import { hungShare } from './hung-share.ts';
import { idle } from './idle.ts';
import { journal } from './journal.ts';
import { noOpPass } from './no-op-pass.ts';
import { overhead } from './overhead.ts';
import { recovery } from './recovery.ts';
import { report } from './report.ts';
import type { Section } from './section.ts';

export const sections: readonly Section[] = [
  noOpPass,
  overhead,
  recovery,
  idle,
  report,
  journal,
  hostileGuest,
  loopDrops,
  hungShare,
  stickPulls,
];
