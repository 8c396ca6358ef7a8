/**
 * What can be known before anything is restored: whether the archive is the one that was taken [R8], whether the key
 * opens it, what it would bring along, and whether there is room. What is wrong with the backup is the test's result;
 * what is wrong with the host refuses, because then nothing was tested.
 */
import { reason } from '@felhom/protocol';
import type { ErrorCode, Reason, VolumeId } from '@felhom/protocol';
import { admitSpace, parseArchivedConfig, riskReport } from '../bring-up/index.ts';
import type { BackupRecord } from '../catalogue/index.ts';
import { storageOf } from '../guests/index.ts';
import { diskKey, isVolumeId, parseDisk } from '../guests/pve-config.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { StorageRow, StoreItem } from '../ports/proxmox.ts';
import { nameOf } from './test-state.ts';
import type { RestoreTestState, TestContext, TestResult } from './test-state.ts';

const gib = 2 ** 30;

export async function check(ctx: TestContext, signal: AbortSignal): Promise<Outcome<Partial<RestoreTestState>>> {
  const { needs, params, clock } = ctx;
  const begun = clock.now();
  const record = needs.catalogue.byId(params.backup.id);
  if (record?.archive !== params.backup.archive || record.sha256 !== params.backup.sha256)
    return refused(
      reason('guest.backup-absent', `cannot test a restore of ${nameOf(params)}: no such backup is on record`),
    );
  ctx.progress({ text: `reading backup ${record.archive} of ${nameOf(params)} back` });
  const storages = await needs.stores.list(signal);
  if (storages.is !== 'done') return storages;
  const checked = await checkArchive(ctx, record, storages.value, signal);
  if (checked.is !== 'done') return checked;
  const known = { takenAt: record.takenAt, timings: { checkMs: Math.max(0, clock.now() - begun) } };
  if (checked.value !== undefined) return done({ ...known, result: checked.value });
  const [archived, version] = await Promise.all([
    needs.stores.extractConfig(record.archive, signal),
    needs.node.version(signal),
  ]);
  if (archived.is !== 'done') return archived;
  if (version.is !== 'done') return version;
  const report = riskReport(archived.value);
  // Protection is switched off in the call, and says nothing against a copy that goes away again.
  const refusals = report.refusals.filter(({ key }) => key !== 'protection');
  const devices = record.risk.devices && refusals.length > 0 && refusals.every(({ key }) => isDevice(key));
  if (refusals.length > 0 && !devices) {
    const text = `the archive carries what no guest may have: ${refusals.map((refusal) => refusal.text).join('; ')}`;
    return done({ ...known, result: failure('refused', 'guest.archive-refused', text) });
  }
  const rootfsGiB = roomFor(archived.value);
  const { limits } = needs.policy();
  const space = admitSpace(
    [{ storage: params.storage, bytes: rootfsGiB * gib }],
    storages.value,
    new Map(),
    // It goes away again, so what was promised to others counts by what they use.
    { spaceFactor: limits.spaceFactor, overcommit: Number.POSITIVE_INFINITY },
  );
  if (space.is === 'refused') return done({ ...known, result: noRoom(params.storage, space.text) });
  return done({
    ...known,
    devices,
    rootfsGiB,
    pveVersion: version.value.version,
    archivedNetworks: report.networks.map((network) => network.key),
  });
}

export const failure = (grade: TestResult['grade'], code: ErrorCode, text: string): TestResult => ({
  grade,
  verdict: 'failed',
  code,
  text,
});

export const isDevice = (key: string): boolean => /^dev\d+$/.test(key);

const noRoom = (storage: string, text: string): TestResult => ({
  grade: 'failed',
  verdict: 'skipped',
  code: 'restore-test.no-room',
  text: `no room on storage ${storage}: ${text}`,
});

/** `undefined`: it is the archive that was taken, and the key opens it. */
async function checkArchive(
  ctx: TestContext,
  record: BackupRecord,
  storages: readonly StorageRow[],
  signal: AbortSignal,
): Promise<Outcome<TestResult | undefined>> {
  const { needs } = ctx;
  const storage = storageOf(record.archive);
  const listed = await needs.stores.contents(storage, { content: 'backup' }, signal);
  if (listed.is !== 'done') return listed;
  const item = listed.value.find(({ volid }) => volid === record.archive);
  const isFile = storages.find((row) => row.storage === storage)?.type !== 'pbs';
  const size = item === undefined || !isFile ? undefined : sizeTrouble(item, record);
  if (size !== undefined) return done(size);
  const digest = await needs.helper.archiveDigest(record.archive, signal);
  if (digest.is === 'refused') {
    // Neither lists it nor can root read it: only both together are an absence.
    if (item !== undefined || digest.why.code !== 'helper.no-archive') return digest;
    return done(failure('corrupt', 'guest.backup-absent', absentText(record.archive, digest.why)));
  }
  if (digest.is !== 'done') return digest;
  if (digest.value.sha256 !== record.sha256)
    return done(
      failure('corrupt', 'guest.backup-changed', 'its bytes are not those that were read back when it was taken'),
    );
  if (item === undefined)
    return refused(
      reason(
        'guest.backup-absent',
        `cannot test a restore: root reads ${record.archive}, and Proxmox does not list it`,
      ),
    );
  if (record.encrypted === undefined) return done(undefined);
  const key = await needs.helper.keyTest(record.archive, signal);
  if (key.is !== 'done') return key;
  if (key.value.is === 'opens') return done(undefined);
  const why = key.value.is === 'wrong-key' ? key.value.text : 'it is not encrypted any more';
  return done(failure('corrupt', 'restore-test.wrong-key', `the key of the storage does not open it: ${why}`));
}

const absentText = (archive: VolumeId, why: Reason): string => `${archive} is gone: ${why.text}`;

function sizeTrouble(item: StoreItem, record: BackupRecord): TestResult | undefined {
  if (item.sizeBytes === record.sizeBytes) return undefined;
  return item.sizeBytes < record.sizeBytes
    ? failure(
        'corrupt',
        'guest.archive-corrupt',
        `it is truncated: ${item.sizeBytes} of ${record.sizeBytes} bytes are left`,
      )
    : failure('corrupt', 'guest.backup-changed', `it has ${item.sizeBytes} bytes, ${record.sizeBytes} were taken`);
}

/** Upper bound: whatever was backed up fits into the sum of its volumes. */
function roomFor(archivedConfig: string): number {
  let sum = 0;
  for (const [key, value] of parseArchivedConfig(archivedConfig)) {
    if (!diskKey.test(key)) continue;
    const disk = parseDisk(key, value);
    if (disk.backup && isVolumeId(disk.volid)) sum += Math.ceil(disk.sizeGiB ?? 0);
  }
  return Math.max(1, sum);
}
