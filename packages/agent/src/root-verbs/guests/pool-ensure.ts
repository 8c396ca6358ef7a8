/** `pool-ensure`: a VMID of the agent's ranges is a member of its pool again, which a destroy takes it out of [R5]. */
import type { Vmid } from '@felhom/protocol';
import { newestCreation, outOfRange } from './proofs.ts';
import type { GuestFacts, GuestTools, Missing } from './proofs.ts';
import { said } from './answer.ts';
import type { GuestAnswer } from './answer.ts';
import { configOf, isInPool, otherConfigs } from './node-guests.ts';
import { tasksIn } from './node-tasks.ts';

/** Refused where a guest of somebody else is at it: the pool is what the agent's token may touch. */
export async function poolEnsure(
  facts: GuestFacts,
  tools: Pick<GuestTools, 'pvesh'>,
  vmid: Vmid,
): Promise<GuestAnswer> {
  const say = said(`cannot put ${vmid} into the pool`);
  const { places, policy } = facts;
  const isMember = (): boolean => isInPool(places, policy.pool, vmid);
  const missing = say.proof(
    () => outOfRange(policy, vmid) ?? (isMember() ? ({ is: 'member' } as const) : strangerAt(facts, vmid)),
  );
  if (missing?.is === 'member') return { is: 'done' };
  if (missing !== undefined) return say.not(missing);
  // PVE: API2/Pool.pm update_pools; VMIDs of guests that do not exist are taken.
  const { code, stderr } = await tools.pvesh(['set', '/pools', '--poolid', policy.pool, '--vms', String(vmid)]);
  return isMember() ? { is: 'done' } : say.not({ is: 'busy', why: `pvesh ended with ${code}: ${stderr}` });
}

function strangerAt({ places, policy }: GuestFacts, vmid: Vmid): Missing | undefined {
  const elsewhere = otherConfigs(places, policy.node, vmid).find(({ file }) => file.endsWith(`/${vmid}.conf`));
  if (elsewhere !== undefined)
    return { is: 'refused', why: `a guest that is not the agent's is at it: ${elsewhere.file}` };
  if (configOf(places, policy.node, vmid) === undefined) return undefined;
  const creation = newestCreation(tasksIn(places.tasks), vmid);
  if (creation === undefined)
    return { is: 'refused', why: 'a guest is at it and the node remembers no task that created it' };
  if (creation.user !== policy.token)
    return { is: 'refused', why: `the guest at it was created by somebody else: ${creation.upid}` };
  return undefined;
}
