/** `unlock`: clears a lock that a dead worker of the agent left. */
import type { Vmid } from '@felhom/protocol';
import { proveUnlock } from './proofs.ts';
import type { GuestFacts, GuestTools } from './proofs.ts';
import { configOf, lockOf } from './node-guests.ts';
import { said } from './answer.ts';
import type { GuestAnswer } from './answer.ts';

/** Throws when it stays open whether the lock was cleared. */
export async function unlock(facts: GuestFacts, tools: Pick<GuestTools, 'pct'>, vmid: Vmid): Promise<GuestAnswer> {
  const say = said(`cannot unlock ${vmid}`);
  const proof = say.proof(() => proveUnlock(facts, vmid));
  if (proof.is === 'no-lock') return { is: 'done' };
  if (proof.is !== 'proven') return say.not(proof);
  const { code, stderr } = await tools.pct(['unlock', String(vmid)]);
  const config = configOf(facts.places, facts.policy.node, vmid);
  if (config === undefined || lockOf(config) === undefined) return { is: 'done' };
  return say.not({ is: 'busy', why: `pct ended with ${code}: ${stderr}` });
}
