/**
 * The verbs about guests that nobody has to sign: each changes only what root can prove to be the agent's own and dead, or
 * restores what enrolment gave [R13] [R19].
 */
import type { Vmid, VolumeId } from '@felhom/protocol';
import type { HostPolicy } from '../../host-policy.ts';
import type { HelperOperation } from '../../ports/host-helper.ts';
import type { GuestTools } from './proofs.ts';
import type { GuestAnswer } from './answer.ts';
import type { NodePlaces } from './node-guests.ts';
import { poolEnsure } from './pool-ensure.ts';
import { reapStub } from './reap-stub.ts';
import type { Receipts } from '../receipts.ts';
import { unlock } from './unlock.ts';

export type GuestRequest = { readonly operation: HelperOperation; readonly vmid: Vmid } & (
  { readonly verb: 'unlock' | 'pool-ensure' } | { readonly verb: 'reap-stub'; readonly volumes: readonly VolumeId[] }
);

export interface GuestWorld {
  readonly places: NodePlaces;
  readonly tools: GuestTools;
}

export interface GuestParts {
  readonly guests: GuestWorld;
  /** Root's own, as it is now. */
  readonly policy: () => HostPolicy | { readonly bad: string };
  readonly receipts: Receipts;
  /** Wall time, milliseconds since the epoch. */
  readonly now: () => number;
}

/** The same operation twice does the work once. Throws what leaves open whether something was changed. */
export async function serveGuest(request: GuestRequest, parts: GuestParts): Promise<GuestAnswer> {
  const { verb, operation, vmid } = request;
  const { receipts, guests } = parts;
  const before = receipts.of(operation);
  if (before?.verb === verb) return { is: 'done' };
  if (before !== undefined)
    return { is: 'refused', text: `cannot ${verb} ${vmid}: operation ${operation} was a ${before.verb}` };
  const policy = parts.policy();
  if ('bad' in policy) return { is: 'refused', text: `cannot ${verb} ${vmid}: ${policy.bad}` };
  const facts = { places: guests.places, policy };
  const answer =
    request.verb === 'reap-stub'
      ? await reapStub(facts, guests.tools, vmid, request.volumes)
      : await work[request.verb](facts, guests.tools, vmid);
  if (answer.is === 'done') receipts.keep({ operation, verb, at: parts.now() });
  return answer;
}

const work = { unlock, 'pool-ensure': poolEnsure };
