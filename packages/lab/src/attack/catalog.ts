/** Every trick, in the order in which it is played. */
import type { Trick } from './trick.ts';
import { adoptionTricks } from './tricks/adoptions.ts';
import { approvalTricks } from './tricks/approvals.ts';
import { bindingTricks } from './tricks/binding.ts';
import { breakGlassTricks } from './tricks/break-glass.ts';
import { floodTricks } from './tricks/floods.ts';
import { hubWordTricks } from './tricks/hub-words.ts';
import { lieTricks } from './tricks/lies.ts';
import { releaseTricks } from './tricks/releases.ts';
import { replayTricks } from './tricks/replay.ts';
import { signatureTricks } from './tricks/signatures.ts';
import { textTricks } from './tricks/texts.ts';
import { thresholdTricks } from './tricks/thresholds.ts';
import { wishTricks } from './tricks/wishes.ts';

/** Those that are about signatures, verified by the real program; a table holds its stand-in to it for the others. */
const forReal = (group: readonly Trick[]): readonly Trick[] => group.map((trick) => ({ ...trick, real: true }));

export const tricks: readonly Trick[] = [
  ...forReal(signatureTricks),
  ...bindingTricks,
  ...replayTricks,
  ...thresholdTricks,
  ...approvalTricks,
  ...adoptionTricks,
  ...breakGlassTricks,
  ...wishTricks,
  ...hubWordTricks,
  ...lieTricks,
  ...forReal(textTricks),
  ...floodTricks,
  ...forReal(releaseTricks),
];
