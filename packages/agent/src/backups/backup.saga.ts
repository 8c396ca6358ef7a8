/**
 * One backup of one guest. It is good only when its task, the listing, the device, the size and the bytes agree [R8];
 * until then it has no record, and what has no record is never counted and never restored. It ends when its target goes.
 *
 *   assess   the guest is ours and free, the storage is there and has room, the apps are still held
 *   dump     POST vzdump; known by a nonce that only its notes carry
 *   capture  until the storage holds the state, so that apps stand still for seconds and not for the upload [R35]
 *   finish   the end of the task, then the listing: the nonce decides, whatever the task says of itself [R48]
 *   verify   read back from the device, whole; and what restoring it would meet
 *   record   into the catalogue
 *   release  a killed worker leaves the guest locked and a snapshot behind
 *   marker   minted anew, so that every archive holds a stale one [R20]
 *
 * Undo stops our own task and clears what it left. It never deletes an archive.
 */
import { reason } from '@felhom/protocol';
import { recordOf } from '../guests/registered.ts';
import { mintMarker } from '../guests/mint.ts';
import { ownTasks, patientAttempts, readOwn } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, Step, StepContext } from '../kernel/saga.ts';
import type { StoreItem } from '../ports/proxmox.ts';
import { backupParams, storageLane, vzdumpLane } from './backup-state.ts';
import type { BackupContext, BackupParams, BackupState, Partly } from './backup-state.ts';
import { capture } from './capture-step.ts';
import { noteMarker, probeMarker, writeMarker } from './marker.ts';
import type { BackupNeeds } from './needs.ts';
import { onTarget } from './on-target.ts';
import { formatNotes, parseNotes } from './notes.ts';
import { clearLeft, findLeft } from './release-guest.ts';
import { hear, noWords, tellLine } from './task-words.ts';
import { verify } from './verify-step.ts';

export const backup: SagaDefinition<BackupParams, BackupState, BackupNeeds> = {
  name: 'backup',
  version: 1,
  parseParams: (raw) => backupParams.parse(raw),
  lanes: ({ guest, storage }) => [laneOf(guest), storageLane(storage), vzdumpLane],
  purpose: 'protection',
  attemptCap: patientAttempts,
  steps: [
    { name: 'assess', readOnly: true, run: assess },
    { name: 'dump', intend: noteDump, run: dump, probe: probeDump, undo: takeBack },
    { name: 'capture', readOnly: true, run: onTarget(capture) },
    { name: 'finish', readOnly: true, run: onTarget(finish) },
    { name: 'verify', readOnly: true, run: onTarget(verify) },
    { name: 'record', readOnly: true, run: record },
    { name: 'release', run: release, probe: probeRelease },
    { name: 'marker', intend: noteMarker, run: writeMarker, probe: probeMarker },
  ],
};

/** The same steps inside another saga, which does something instead where `paramsOf` answers nothing. */
export function backupSteps<Params, State extends BackupState, Needs extends BackupNeeds>(
  paramsOf: (ctx: StepContext<Params, State, Needs>) => BackupParams | undefined,
): readonly Step<Params, State, Needs>[] {
  const within =
    <T>(nothing: T, work: (own: BackupContext, signal: AbortSignal) => Promise<T>) =>
    (ctx: StepContext<Params, State, Needs>, signal: AbortSignal): Promise<T> => {
      const params = paramsOf(ctx);
      return params === undefined ? Promise.resolve(nothing) : work({ ...ctx, params }, signal);
    };
  const nothing: Outcome<Partly> = done({});
  const steps = backup.steps.map((step) => ({
    ...step,
    run: within(nothing, step.run.bind(step)),
    ...(step.intend === undefined ? {} : { intend: within(nothing, step.intend.bind(step)) }),
    ...(step.probe === undefined ? {} : { probe: within<Probed<Partly>>(nothing, step.probe.bind(step)) }),
    ...(step.undo === undefined ? {} : { undo: within<Outcome<void>>(done(undefined), step.undo.bind(step)) }),
  }));
  // What they answer is a part of a backup's state and so of this one's; of a type parameter the compiler cannot see it.
  return steps as unknown as readonly Step<Params, State, Needs>[];
}

// ------------------------------------------------------------------------------------------------------ assess

async function assess(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { guest, tier, storage, lease } = ctx.params;
  const found = recordOf(ctx, guest);
  if (found.is !== 'done') return found;
  const { vmid, volumes } = found.value;
  // A person may have edited the marker away: with its very own volumes it is still ours to back up [R20].
  const view = await readOwn(ctx, vmid, found.value, signal, { markerMayBeMissing: true });
  if (view.is !== 'done') return view;
  const shown = view.value.disks.map((disk) => disk.volid).toSorted();
  const known = volumes.map((volume) => volume.volid).toSorted();
  if (view.value.marker === undefined && shown.join(' ') !== known.join(' '))
    return refused(reason('guest.not-ours', `cannot back up guest ${vmid}: it has neither our marker nor our volumes`));
  if (view.value.lock !== undefined)
    return refused(reason('pve.guest-locked', `cannot back up guest ${vmid}: it is locked (${view.value.lock})`));
  const target = ctx.needs.tierOf(tier);
  if (target?.storage !== storage)
    return refused(
      reason('backup.tier-unknown', `cannot back up guest ${guest.name}: tier ${tier} does not lie on ${storage}`),
    );
  const away = await ctx.needs.targets.check(storage);
  if (away !== undefined) return refused(away);
  const attachment = ctx.needs.targets.attachment(storage);
  const fit = await storageFits(ctx, signal);
  if (fit.is !== 'done') return fit;
  if (lease !== undefined && !ctx.needs.leases.isHeld(guest.uid, lease)) return refused(leaseEnded(ctx));
  const status = await ctx.needs.reader.status(vmid, signal);
  if (status.is !== 'done') return status;
  return done({ vmid, ran: status.value.status === 'running', ...(attachment === undefined ? {} : { attachment }) });
}

/** Room for what the last one of this guest took there and a quarter more. */
async function storageFits(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<void>> {
  const { guest, storage } = ctx.params;
  const rows = await ctx.needs.stores.list(signal);
  if (rows.is !== 'done') return rows;
  const row = rows.value.find((candidate) => candidate.storage === storage);
  const what = `cannot back up guest ${guest.name} to ${storage}`;
  if (row === undefined) return refused(reason('pve.storage-absent', `${what}: the token sees no such storage`));
  if (!row.enabled || !row.active || !row.content.includes('backup'))
    return refused(reason('pve.storage-offline', `${what}: it is not active, or not for backups`));
  const last = ctx.needs.catalogue.ofGuest(guest.uid).findLast((known) => known.storage === storage);
  const wanted = (last?.sizeBytes ?? 0) * 1.25;
  if (row.availableBytes <= wanted)
    return refused(
      reason('pve.no-space', `${what}: ${row.availableBytes} bytes are free, ${Math.ceil(wanted)} are wanted`),
    );
  return done(undefined);
}

const leaseEnded = ({ params }: BackupContext) =>
  reason(
    'backup.lease-ended',
    `cannot back up guest ${params.guest.name} with its apps held still: they no longer are`,
  );

// -------------------------------------------------------------------------------------------------------- dump

async function noteDump(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const time = await ctx.needs.node.time(signal);
  if (time.is !== 'done') return time;
  const { uid } = ctx.params.guest;
  const declared = ctx.needs.manifests.latest(uid);
  const volumes = declared?.manifest.volumes ?? [];
  const sum = (pick: (volume: (typeof volumes)[number]) => number): number =>
    volumes.reduce((total, volume) => total + pick(volume), 0);
  return done({
    id: mintMarker(ctx.random),
    since: Math.floor(time.value),
    begunAt: ctx.clock.now(),
    massChange: declared !== undefined && ctx.needs.isMassChange(uid, declared.manifest),
    ...(declared === undefined
      ? {}
      : {
          manifest: {
            digest: declared.digest,
            at: declared.at,
            files: sum((volume) => volume.files),
            bytes: sum((volume) => volume.bytes),
          },
        }),
  });
}

async function dump(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { guest, storage } = ctx.params;
  const { vmid, id } = inState(ctx);
  ctx.progress({ text: `backing up ${guest.name} (${vmid}) to ${storage}` });
  // Where a volume cannot be snapshot Proxmox copies instead, and of a stopped guest it reads the volumes as they are.
  const call = { vmid, storage, mode: 'snapshot', notes: formatNotes(guest.uid, id) } as const;
  const posted = await ctx.needs.backups.backup(call, signal);
  if (posted.is !== 'done') return posted;
  if (posted.value === undefined)
    return refused(reason('pve.guest-absent', `cannot back up guest ${vmid}: Proxmox says it is not on this node`));
  ctx.recordHandle(posted.value);
  return done({ upid: posted.value });
}

/** pveproxy gives up on a request after 30 s; afterwards its worker no longer begins. */
const lateLandingMs = 35_000;

async function probeDump(ctx: BackupContext, signal: AbortSignal): Promise<Probed<Partly>> {
  if (ctx.handle !== undefined) return done({ upid: ctx.handle as BackupState['upid'] });
  const { vmid, since } = inState(ctx);
  for (let look = 1; ; look++) {
    const tasks = await ownTasks(ctx, { vmid, type: 'vzdump', sinceSeconds: since }, signal);
    if (tasks.is !== 'done') return unknown(tasks.why);
    const [newest] = tasks.value;
    if (newest !== undefined) return done({ upid: newest.upid });
    // Its task may have left the list, which others can fill [R42]; the archive tells too.
    const item = await findArchive(ctx, signal);
    if (item.is !== 'done') return unknown(item.why);
    if (item.value !== undefined) return done({});
    const left = Math.min(lateLandingMs, ctx.intentAt + lateLandingMs - ctx.clock.now());
    if (look > 1 || left <= 0) return { is: 'never-happened' };
    await ctx.clock.sleep(left, signal);
  }
}

async function takeBack(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<void>> {
  const { vmid, since } = inState(ctx);
  const tasks = await ownTasks(ctx, { vmid, type: 'vzdump', sinceSeconds: since }, signal);
  if (tasks.is !== 'done') return tasks.is === 'refused' ? unknown(tasks.why) : tasks;
  let died = false;
  for (const { upid, endTime } of tasks.value) {
    if (endTime === undefined) {
      const aborted = await ctx.needs.tasks.abort(upid, signal);
      if (aborted.is !== 'done') return unknown(aborted.why);
    }
    const ended = await ctx.needs.tasks.wait(upid, {}, signal);
    if (ended.is !== 'done') return unknown(ended.why);
    died ||= ended.value.verdict.is === 'died' || ended.value.verdict.is === 'lost';
  }
  return died ? clearLeft(ctx, vmid, `${ctx.sagaId}.dump.unlock`, signal) : done(undefined);
}

// ------------------------------------------------------------------------------------------------------ finish

async function finish(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { params, state } = ctx;
  const what = `backing up ${params.guest.name} to ${params.storage}`;
  let words = noWords;
  let died = false;
  let verdict = 'its task is not known any more';
  if (state.upid !== undefined) {
    const onProgress = (line: string, fraction: number | undefined): void => {
      words = hear(words, line);
      ctx.progress({ text: `${what}: ${tellLine(line)}`, ...(fraction === undefined ? {} : { fraction }) });
    };
    const ended = await ctx.needs.tasks.wait(state.upid, { onProgress }, signal);
    if (ended.is !== 'done') return unknown(ended.why);
    const { is } = ended.value.verdict;
    died = is === 'died' || is === 'lost';
    verdict = is === 'failed' ? ended.value.verdict.exitStatus : is;
  }
  const item = await findArchive(ctx, signal);
  // Not being allowed to look says nothing about the archive.
  if (item.is !== 'done') return unknown(item.why);
  if (item.value === undefined) return refused(noArchive(ctx, verdict, words.errors));
  return done({
    archive: item.value.volid,
    sizeBytes: item.value.sizeBytes,
    mode: words.mode ?? state.mode ?? (state.ran === true ? 'suspend' : 'stop'),
    warnings: [
      ...(words.fellBack ? ['not every volume can be snapshot: its files were copied while the guest ran'] : []),
      ...words.warnings,
    ].slice(0, 20),
    died,
  });
}

function noArchive(ctx: BackupContext, verdict: string, errors: readonly string[]) {
  const { guest, storage } = ctx.params;
  const what = `cannot back up guest ${guest.name} to ${storage}`;
  if (verdict === 'ok' || verdict === 'warnings')
    return reason('backup.not-listed', `${what}: its task ended well, but no archive with its nonce is listed`);
  const ended =
    verdict === 'died' || verdict === 'lost' ? `its task ${verdict === 'died' ? 'died' : 'is lost'}` : verdict;
  return reason('backup.failed', `${what}: ${ended}`, errors.join('\n').slice(0, 2_000));
}

/**
 * The archive with our nonce. The nonce alone decides: it did not exist before this saga, while the time of an archive
 * is read from a name in local time, which repeats when the clocks are set back.
 */
async function findArchive(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<StoreItem | undefined>> {
  const { vmid, id } = inState(ctx);
  const items = await ctx.needs.stores.contents(ctx.params.storage, { content: 'backup', vmid }, signal);
  if (items.is !== 'done') return items;
  return done(items.value.find((item) => parseNotes(item.notes)?.id === id));
}

// ------------------------------------------------------------------------------------------ record and release

async function record(ctx: BackupContext): Promise<Outcome<Partly>> {
  const { params, state, needs } = ctx;
  const { guest } = params;
  const { vmid, id } = inState(ctx);
  const { archive, sizeBytes, sha256, risk, mode, begunAt } = state;
  if (archive === undefined || sizeBytes === undefined || sha256 === undefined || risk === undefined)
    throw new Error('cannot record a backup: its journal does not hold what was verified');
  const { slot } = params;
  const { capturedAt, device, encrypted, manifest } = state;
  needs.catalogue.put({
    id,
    guest: guest.uid,
    incarnation: guest.incarnation,
    vmid,
    tier: params.tier,
    storage: params.storage,
    archive,
    class: params.class,
    ...(slot === undefined ? {} : { slot }),
    consistency: state.consistency ?? 'crash',
    mode: mode ?? 'suspend',
    startedAt: begunAt ?? ctx.startedAt,
    ...(capturedAt === undefined ? {} : { capturedAt }),
    takenAt: ctx.clock.now(),
    // It was read back a moment ago, whole: retention may rely on it, and the next reading comes in its turn.
    integrity: { at: ctx.clock.now(), is: 'ok', text: 'read back when it was taken' },
    sizeBytes,
    sha256,
    ...(device === undefined ? {} : { device }),
    ...(encrypted === undefined ? {} : { encrypted }),
    protected: state.protected === true,
    warnings: [...(state.warnings ?? [])],
    risk,
    ...(manifest === undefined ? {} : { manifest }),
    massChange: state.massChange === true,
  });
  return done({});
}

async function release(ctx: BackupContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  if (ctx.state.died !== true) return done({});
  const cleared = await clearLeft(ctx, inState(ctx).vmid, `${ctx.sagaId}.release.unlock`, signal);
  return cleared.is === 'done' ? done({}) : cleared;
}

async function probeRelease(ctx: BackupContext, signal: AbortSignal): Promise<Probed<Partly>> {
  if (ctx.state.died !== true) return done({});
  const left = await findLeft(ctx, inState(ctx).vmid, signal);
  if (left.is !== 'done') return unknown(left.why);
  return left.value.lock !== undefined || left.value.snapshot ? { is: 'never-happened' } : done({});
}

function inState({ state }: BackupContext): Pick<BackupState, 'vmid' | 'id' | 'since'> {
  const { vmid, id, since } = state;
  if (vmid === undefined || id === undefined || since === undefined)
    throw new Error('cannot go on with a backup: its journal does not hold what it set out to do');
  return { vmid, id, since };
}
