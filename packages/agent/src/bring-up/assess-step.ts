/** The first step of a bring-up: everything that can be known to fail before anything is touched. */
import type { StorageId } from '@felhom/protocol';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import { admitSpace, demandOf } from './admission-space.ts';
import type { BringUpContext, BringUpState } from './bring-up-state.ts';
import { storageOf } from '../guests/pve-config.ts';
import { reason } from '@felhom/protocol';
import { riskReport } from './risk-report.ts';

const gib = 1024 ** 3;

export async function assess(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  const { needs } = ctx;
  const { desired } = ctx.params;
  const policy = needs.policy();
  const what = `guest ${desired.name}`;
  const golden = Object.hasOwn(policy.goldens, desired.golden) ? policy.goldens[desired.golden] : undefined;
  if (golden === undefined)
    return refused(
      reason(
        'guest.golden-unregistered',
        `cannot bring up ${what}: golden ${desired.golden} is not registered on this host; add it to the policy file as root`,
      ),
    );
  ctx.progress({ text: `looking at golden ${desired.golden}` });
  const [listed, archived, storages, version] = await Promise.all([
    needs.stores.contents(storageOf(golden.archive), { content: 'backup' }, signal),
    needs.stores.extractConfig(golden.archive, signal),
    needs.stores.list(signal),
    needs.node.version(signal),
  ]);
  if (listed.is !== 'done') return listed;
  const item = listed.value.find((candidate) => candidate.volid === golden.archive);
  if (item === undefined)
    return refused(
      reason(
        'guest.golden-absent',
        `cannot bring up ${what}: the archive ${golden.archive} is not listed; it is gone, or the token may not see it`,
      ),
    );
  if (item.sizeBytes !== golden.sizeBytes)
    return refused(
      reason(
        'guest.golden-changed',
        `cannot bring up ${what}: the archive ${golden.archive} has ${item.sizeBytes} bytes, registered are ${golden.sizeBytes}`,
      ),
    );
  if (archived.is !== 'done') return archived;
  if (storages.is !== 'done') return storages;
  if (version.is !== 'done') return version;
  const report = riskReport(archived.value);
  if (report.refusals.length > 0)
    return refused(
      reason(
        'guest.archive-refused',
        `cannot bring up ${what}: the archive ${golden.archive} carries what no guest may have`,
        report.refusals.map((refusal) => refusal.text).join('\n'),
      ),
    );
  if (report.rootfsGiB !== undefined && desired.rootfs.sizeGiB < report.rootfsGiB)
    return refused(
      reason(
        'guest.rootfs-too-small',
        `cannot bring up ${what}: a root file system of ${desired.rootfs.sizeGiB} GiB is asked for, golden ${desired.golden} needs ${report.rootfsGiB}`,
      ),
    );
  const space = admitSpace(demandOf(desired), storages.value, allocated(ctx), policy.limits);
  if (space.is === 'refused')
    return refused(
      reason('guest.no-space', `cannot bring up ${what}: no room on storage ${space.storage}: ${space.text}`),
    );
  return done({
    archive: golden.archive,
    pveVersion: version.value.version,
    archivedNetworks: report.networks.map((network) => network.key),
  });
}

/** Virtual sizes that our registered guests hold per storage. */
function allocated(ctx: BringUpContext): ReadonlyMap<StorageId, number> {
  const bytes = new Map<StorageId, number>();
  for (const record of ctx.needs.registry.all())
    for (const volume of record.volumes) {
      const storage = storageOf(volume.volid);
      bytes.set(storage, (bytes.get(storage) ?? 0) + volume.sizeGiB * gib);
    }
  return bytes;
}
