/**
 * What the controller does when a backup is due: apps stand still, the manifest is taken, the host is asked for the
 * backup, and the apps go on as soon as storage holds their state [R35]. The backup itself is the host's work.
 */
import type { LocalAnswer } from '@felhom/protocol';
import type { LocalClient } from '../client/client.ts';
import type { Clock, GuestFiles, Random } from '../ports.ts';
import { manifestBounds, storeManifest, takeManifest } from './content-manifest.ts';
import { takeLease } from './standstill-lease.ts';
import type { Lease, LeaseNeeds } from './standstill-lease.ts';

export type DueBackup = LocalAnswer<'backupDue'>['due'][number];

export interface DutyNeeds extends LeaseNeeds {
  readonly files: GuestFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly client: LocalClient;
}

export type DutyResult =
  /** Storage holds the state of a guest whose apps stood still. */
  { readonly is: 'captured' } | { readonly is: 'failed'; readonly text: string };

/** A backup that has not captured anything two minutes after the apps stopped is given up by the host. */
const standstillSeconds = 120;
const pollMs = 1_000;

export async function doGuestBackup(needs: DutyNeeds, due: DueBackup, signal: AbortSignal): Promise<DutyResult> {
  const storage = await needs.client.storage({}, signal);
  if (storage.is !== 'ok') return { is: 'failed', text: 'the host does not say which volumes there are' };
  const paths = [...new Set(['/', ...storage.value.volumes.map(({ path }) => path)])];
  const taken = await takeLease(needs, { seconds: standstillSeconds, due: due.id }, signal);
  if (taken.is === 'refused') return { is: 'failed', text: taken.text };
  const { lease } = taken;
  const during = AbortSignal.any([signal, lease.over]);
  try {
    await declareContent(needs, paths, during);
    const asked = await needs.client.backup({ due: due.id }, during, { idempotencyKey: `due-${due.id}` });
    if (asked.is === 'problem') return { is: 'failed', text: asked.problem.detail };
    return await untilCaptured(needs, asked.is === 'ok' ? asked.value.id : undefined, lease, during);
  } catch (error) {
    if (!during.aborted) throw error;
    return { is: 'failed', text: lease.over.aborted ? 'it was not captured in time' : 'the controller is stopping' };
  } finally {
    await lease.end();
  }
}

/** A backup without a manifest is still a backup; that its content cannot be compared is told by the host. */
async function declareContent(needs: DutyNeeds, paths: readonly string[], signal: AbortSignal): Promise<void> {
  const { manifest, leftOut } = await takeManifest(needs, paths, signal, manifestBounds);
  for (const { path, why } of leftOut) needs.say(`cannot declare what is in ${path}: ${why}`);
  if (manifest === undefined) return;
  const told = await needs.client.manifest(await storeManifest(needs.files, manifest), signal);
  if (told.is !== 'ok') needs.say('cannot tell the host what is in the volumes');
}

/** `operation` is unknown when the answer to the order got lost: then whatever runs now is it. */
async function untilCaptured(
  { client, clock }: DutyNeeds,
  operation: string | undefined,
  lease: Lease,
  signal: AbortSignal,
): Promise<DutyResult> {
  while (clock.now() < lease.until) {
    const status = await client.backupStatus({}, signal);
    const current = status.is === 'ok' ? status.value.current : undefined;
    const isOurs = current?.operation === operation || operation === undefined;
    if (current !== undefined && current !== null && isOurs) {
      if (current.captured || current.state === 'captured' || current.state === 'done') return { is: 'captured' };
      if (current.state === 'failed') return { is: 'failed', text: current.text };
    } else if (status.is === 'ok' && operation !== undefined) {
      const ended = await client.operation({}, signal, { id: operation });
      if (ended.is === 'ok' && (ended.value.state === 'done' || ended.value.state === 'captured'))
        return { is: 'captured' };
      if (ended.is === 'ok' && ended.value.state === 'failed') return { is: 'failed', text: ended.value.text };
      if (ended.is === 'problem' && ended.problem.status === 404)
        return { is: 'failed', text: 'the host knows nothing of it' };
    }
    await clock.sleep(pollMs, signal);
  }
  return { is: 'failed', text: 'it was not captured in time' };
}
