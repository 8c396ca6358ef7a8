/**
 * Break-glass on root's side. Opens only for an envelope that it verified itself against root-owned files: the agent,
 * which asks, talks to the network and may have been taken over [R13]. What it opens closes without it and without the
 * agent: the timer is started before anything can be reached.
 */
import {
  jobKind,
  longestLifeMs,
  parseEnvelope,
  parsePayload,
  peopleNeeded,
  signatureNamespaces,
} from '@felhom/protocol';
import type { HostId, Job, JobOf, TrustDocument } from '@felhom/protocol';
import { z } from 'zod';
import type { SignatureVerifier } from '../ports/signatures.ts';
import type { Systemctl } from '../ports/systemctl.ts';
import type { TrustStore } from '../ports/trust-store.ts';
import { verifyEnvelope } from '../trust/index.ts';
import type { ConsumedJobs } from './consumed-jobs.ts';
import { breakGlassUnits, unitNames } from './break-glass-units.ts';
import type { BreakGlassSettings, BreakGlassTexts } from './break-glass-units.ts';
import type { RootFiles } from './root-files.ts';

/** `refused`: nothing is open because of this. `busy`: it is not known to be closed; ask again. */
export type BreakGlassAnswer =
  | { readonly is: 'done' }
  | { readonly is: 'refused'; readonly text: string }
  | { readonly is: 'busy'; readonly text: string };

export type BreakGlassShown =
  | { readonly is: 'closed' }
  /** Milliseconds since the epoch. */
  | { readonly is: 'open'; readonly until: number }
  | { readonly is: 'unclear'; readonly text: string };

export interface BreakGlassPlace {
  /** `/run/felhom-break-glass` */
  readonly runDirectory: string;
  /** `/run/systemd/system` */
  readonly unitDirectory: string;
  readonly systemctl: Systemctl;
  readonly files: RootFiles;
}

export interface OpenOptions extends BreakGlassPlace {
  /** Absent: break-glass is not set up here, which is how every host begins. */
  readonly settings: BreakGlassSettings | undefined;
  /** Of the root-owned policy, `breakGlass.maxMinutes`. */
  readonly maxMinutes: number;
  readonly host: HostId;
  /** Reads the root-owned file, and refuses it where others may write it. */
  readonly trust: TrustStore;
  readonly verifier: SignatureVerifier;
  readonly consumed: ConsumedJobs;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const deadline = z.strictObject({
  v: z.literal(1),
  jobId: z.string().max(40),
  until: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  by: z.array(z.string().max(40)).max(32),
});
type Deadline = z.output<typeof deadline>;

const refused = (text: string): { is: 'refused'; text: string } => ({
  is: 'refused',
  text: text.startsWith('cannot ') ? text : `cannot open break-glass: ${text}`,
});

/** Whether root opens for this job, from root's own facts alone. Pure. */
export function mayOpen(
  payload: Uint8Array,
  people: readonly string[],
  facts: Pick<OpenOptions, 'maxMinutes' | 'host' | 'now'> & {
    readonly trust: TrustDocument;
    readonly isConsumed: (id: string) => boolean;
  },
):
  { readonly is: 'open'; readonly job: JobOf<'break-glass-open'> } | { readonly is: 'refused'; readonly text: string } {
  const parsed = parsePayload<Job>(jobKind, payload);
  if (parsed.is !== 'ok') return refused(parsed.text);
  const job = parsed.value;
  if (job.kind !== 'break-glass-open') return refused(`job ${job.jobId} is of kind ${job.kind}`);
  if (job.host !== facts.host || facts.trust.host !== facts.host)
    return refused(`job ${job.jobId} is for host ${job.host}, this is ${facts.host}`);
  const distinct = new Set(people).size;
  if (facts.now >= facts.trust.expiresAt) return refused('the trust document has expired; renew it first');
  const needed = peopleNeeded(facts.trust, ['disclose'], 1);
  if (distinct < needed) return refused(`${needed} people have to sign job ${job.jobId}, ${distinct} did`);
  if (facts.now < job.notBefore) return refused(`job ${job.jobId} is not valid yet`);
  if (facts.now >= job.expiresAt || facts.now - job.issuedAt >= longestLifeMs(job, 'disclose', distinct))
    return refused(`job ${job.jobId} has expired`);
  if (job.params.minutes > facts.maxMinutes)
    return refused(`${job.params.minutes} minutes are more than the ${facts.maxMinutes} that the policy allows`);
  if (facts.isConsumed(job.jobId)) return refused(`job ${job.jobId} was used already; sign a new one`);
  return { is: 'open', job };
}

/**
 * Opens for as long as the job says. Whatever fails on the way closes it again; the job is spent either way. One at a
 * time; the helper sees to that. Throws what the disk throws before anything was opened.
 */
export async function openBreakGlass(
  options: OpenOptions,
  envelope: string,
  signal: AbortSignal,
): Promise<BreakGlassAnswer> {
  const { settings, consumed, now } = options;
  if (settings === undefined) return refused('break-glass is not set up on this host (/etc/felhom/break-glass.json)');
  const held = options.trust.read();
  if (held.is === 'none') return refused('this host trusts nobody yet');
  if (held.is === 'unreadable') return { is: 'busy', text: held.why.text };
  const trust = held.document;
  const parsed = parseEnvelope(envelope);
  if (parsed.is !== 'ok') return refused(parsed.text);
  const { payload } = parsed.value;
  const { signatures } = parsed.value.envelope;
  const signed = { payload, signatures, document: trust, namespace: signatureNamespaces.job, at: now };
  const verified = await verifyEnvelope(options, signed, signal);
  if (verified.is === 'refused') return refused(verified.why.text);
  if (verified.is === 'unknown') return { is: 'busy', text: verified.why.text };
  const isConsumed = (id: string): boolean => consumed.has(id);
  const decided = mayOpen(payload, verified.people, { ...options, trust, isConsumed });
  if (decided.is === 'refused') return decided;
  const { job } = decided;
  const shown = await showBreakGlass(options);
  if (shown.is === 'open') return refused('it is open already; close it first');
  if (shown.is === 'unclear') return { is: 'busy', text: `cannot open break-glass: ${shown.text}` };
  // What a crash half-way or a broken tunnel left, an old timer above all.
  const cleared = await closeBreakGlass(options);
  if (cleared.is !== 'done') return cleared;
  const until = now + job.params.minutes * 60_000;
  const { minutes, key } = job.params;
  const { runDirectory, unitDirectory } = options;
  const texts = breakGlassUnits({ minutes, key, until, settings, runDirectory, unitDirectory });
  try {
    consumed.add(job.jobId, now);
  } catch (error) {
    return refused(`that job ${job.jobId} is used cannot be written down: ${String(error)}`);
  }
  const mine: Deadline = { v: 1, jobId: job.jobId, until, by: [...verified.people] };
  try {
    write(options, texts, mine);
    await must(options.systemctl, ['daemon-reload']);
    await must(options.systemctl, ['start', unitNames.timer]);
    await must(options.systemctl, ['start', unitNames.sshd]);
    await must(options.systemctl, ['start', unitNames.tunnel]);
    // Somebody may have closed it while the tunnel was connecting.
    if (readDeadline(options)?.jobId !== job.jobId) throw new Error('it was closed while it was being opened');
    return { is: 'done' };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const closed = await closeBreakGlass(options);
    if (closed.is === 'done')
      return refused(`${why}; it is closed again, and job ${job.jobId} is spent: sign a new one`);
    return { is: 'busy', text: `cannot open break-glass: ${why}; and ${closed.text}` };
  }
}

/**
 * Closes, whatever state it is in. Nobody's signature is needed. As long as something still runs, timer and units stay
 * where they are, so that systemd tries again when the time is over.
 */
export async function closeBreakGlass(place: BreakGlassPlace): Promise<BreakGlassAnswer> {
  for (const unit of [unitNames.tunnel, unitNames.sshd])
    // A unit that was never loaded cannot be stopped; whether something runs is asked below.
    await place.systemctl(['stop', unit]).catch(() => undefined);
  const running = await runningUnits(place.systemctl);
  if (running.is === 'unclear') return { is: 'busy', text: `cannot close break-glass: ${running.text}` };
  if (running.names.length > 0)
    return {
      is: 'busy',
      text: `cannot close break-glass: ${running.names.join(' and ')} did not stop; the timer tries again`,
    };
  try {
    await place.systemctl(['stop', unitNames.timer]).catch(() => undefined);
    await place.systemctl(['reset-failed', unitNames.tunnel, unitNames.sshd]).catch(() => undefined);
    removeRemains(place);
    await place.systemctl(['daemon-reload']).catch(() => undefined);
    return { is: 'done' };
  } catch (error) {
    return {
      is: 'busy',
      text: `cannot close break-glass: nothing runs, but its files are still there: ${String(error)}`,
    };
  }
}

/** Changes nothing. Open is what runs; the file only tells until when. */
export async function showBreakGlass(place: BreakGlassPlace): Promise<BreakGlassShown> {
  const running = await runningUnits(place.systemctl);
  if (running.is === 'unclear') return { is: 'unclear', text: running.text };
  if (running.names.length === 0) return { is: 'closed' };
  const held = readDeadline(place);
  if (held !== undefined) return { is: 'open', until: held.until };
  return { is: 'unclear', text: `${running.names.join(' and ')} runs, and until when is not written anywhere` };
}

type Running =
  { readonly is: 'known'; readonly names: readonly string[] } | { readonly is: 'unclear'; readonly text: string };

/** States of `systemctl is-active` in which no process of a unit is left. */
const atRest = new Set(['inactive', 'failed', 'unknown']);

async function runningUnits(systemctl: Systemctl): Promise<Running> {
  const units = [unitNames.tunnel, unitNames.sshd];
  try {
    const { stdout } = await systemctl(['is-active', ...units]);
    const states = stdout.trim().split('\n');
    if (states.length !== units.length || states.some((state) => !/^[a-z]+$/.test(state)))
      return { is: 'unclear', text: 'systemctl is-active gave an answer that cannot be read' };
    return { is: 'known', names: units.filter((_, at) => !atRest.has(states[at] ?? '')) };
  } catch (error) {
    return { is: 'unclear', text: `systemctl cannot be run: ${String(error)}` };
  }
}

async function must(systemctl: Systemctl, args: readonly string[]): Promise<void> {
  const { code, stderr } = await systemctl(args);
  // What systemd adds below tells of units that are gone by the time somebody reads it.
  const [said = ''] = stderr.trim().split('\n');
  if (code !== 0) throw new Error(`systemctl ${args.join(' ')} ended with ${code} (${said.slice(0, 200)})`);
}

const deadlineFile = ({ runDirectory }: BreakGlassPlace): string => `${runDirectory}/open.json`;

/** The directory is fresh and every file new: nothing that lay there before is written through. */
function write(place: BreakGlassPlace, texts: BreakGlassTexts, mine: Deadline): void {
  place.files.makeDirectory(place.runDirectory);
  for (const [name, text] of Object.entries(texts.files))
    place.files.writeNew(`${place.runDirectory}/${name}`, text, 0o600);
  place.files.writeNew(deadlineFile(place), JSON.stringify(mine), 0o600);
  // Units hold no secret, and systemd warns of those that not everybody may read.
  for (const [name, text] of Object.entries(texts.units))
    place.files.writeNew(`${place.unitDirectory}/${name}`, text, 0o644);
}

function readDeadline(place: BreakGlassPlace): Deadline | undefined {
  const text = place.files.read(deadlineFile(place));
  if (text === undefined) return undefined;
  try {
    return deadline.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function removeRemains(place: BreakGlassPlace): void {
  for (const name of Object.values(unitNames)) place.files.remove(`${place.unitDirectory}/${name}`);
  place.files.remove(place.runDirectory);
}
