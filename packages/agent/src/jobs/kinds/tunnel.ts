/** What the tunnel lets in: the declaration that is in force is root's, so whether `before` fits is looked at by root [R13]. */
import { digestOfTunnel, guestsOfTunnel } from '@felhom/protocol';
import { signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planTunnelChange: PlanJob<'tunnel-change'> = ({ params: { before, declaration } }, view) => {
  const effect = {
    kind: 'tunnel-change',
    before: before ?? '',
    declaration: digestOfTunnel(declaration),
    guests: guestsOfTunnel(declaration),
  } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};
