/**
 * A destroyed guest leaves the pool, and with it go the rights on its backups and on its volumes: they list as empty and
 * answer 403 [R5]. The VMIDs of its backup and of its volumes are put back first. They stay there, as all of our range do.
 */
import type { Vmid } from '@felhom/protocol';
import { recordOf } from '../guests/registered.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import { ownersOf } from './look.ts';
import type { RecoverContext, RecoverState } from './recover-state.ts';

export async function ensurePool(ctx: RecoverContext, signal: AbortSignal): Promise<Outcome<Partial<RecoverState>>> {
  const vmids = vmidsOf(ctx);
  if (vmids.is !== 'done') return vmids;
  for (const vmid of vmids.value) {
    const ensured = await ctx.needs.helper.poolEnsure(operationOf(ctx, vmid), vmid, signal);
    if (ensured.is !== 'done') return ensured;
  }
  return done({});
}

export async function probePool(ctx: RecoverContext, signal: AbortSignal): Promise<Probed<Partial<RecoverState>>> {
  const vmids = vmidsOf(ctx);
  if (vmids.is !== 'done') return vmids;
  for (const vmid of vmids.value) {
    const receipt = await ctx.needs.helper.show(operationOf(ctx, vmid), signal);
    if (receipt.is !== 'done') return unknown(receipt.why);
    if (receipt.value === undefined) return { is: 'never-happened' };
  }
  return done({});
}

const operationOf = (ctx: RecoverContext, vmid: Vmid): string => `${ctx.sagaId}.pool.${vmid}`;

function vmidsOf(ctx: RecoverContext): Outcome<readonly Vmid[]> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const { from, to } = ctx.needs.policy().vmids.guests;
  const backup = ctx.needs.catalogue.byArchive(ctx.params.backup.archive);
  const wanted = new Set<Vmid>([...ownersOf(found.value), ...(backup === undefined ? [] : [backup.vmid])]);
  return done([...wanted].filter((vmid) => vmid >= from && vmid <= to));
}
