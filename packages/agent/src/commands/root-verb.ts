/**
 * `felhom-agent root-verb`: root's program for what takes the operators' envelope, and for what only root can read or do.
 * Systemd starts it for each connection to `felhom-root.socket`, which is its stdin and stdout; under an exact sudo rule it is
 * the same: one request, one answer (`adapters/helper-command/index.ts`). It takes no argument, reads no configuration of
 * the agent, and believes nothing but files of root's own. Exit code 0: the answer is whole; else none was given, and what
 * became of the request is open.
 */
import { realpathSync, statSync } from 'node:fs';
import { addAbortSignal } from 'node:stream';
import type { Readable } from 'node:stream';
import { join } from 'node:path';
import { maxEnvelopeBytes } from '@felhom/protocol';
import type { VolumeId } from '@felhom/protocol';
import { loadFile } from '../adapters/config-file/index.ts';
import { helperRequest } from '../adapters/helper-command/index.ts';
import type { HelperAnswer, HelperRequest } from '../adapters/helper-command/index.ts';
import { createHostCommand } from '../adapters/host-command/index.ts';
import { createSshKeygenVerifier } from '../adapters/ssh-keygen/index.ts';
import { systemClock } from '../adapters/system-clock/index.ts';
import { createSystemctl } from '../adapters/systemctl/index.ts';
import { createTrustFile, readRootOwned } from '../adapters/trust-file/index.ts';
import { hostPolicy } from '../host-policy.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { Clock } from '../kernel/index.ts';
import type { HostCommand } from '../ports/host-command.ts';
import type { GuestMount } from '../ports/host-helper.ts';
import type { Systemctl } from '../ports/systemctl.ts';
import {
  archiveDigest,
  breakGlassSettings,
  consumedJobsIn,
  exposedProgram,
  ownFolder,
  receiptsIn,
  witnessIn,
  rootFiles,
  serveVerb,
  takeTurn,
  volumesOf,
  whyOvertaken,
} from '../root-verbs/index.ts';
import { testCredential } from '../root-verbs/storage/index.ts';
import type { StorageWorld } from '../root-verbs/storage/index.ts';
import { hostStorage } from './host-storage.ts';
import { hostTunnel } from './host-tunnel.ts';
import { showTunnelFence } from '../root-verbs/tunnel/index.ts';
import type { TunnelWorld } from '../root-verbs/tunnel/index.ts';
import type { ArchiveCommands, OpenOptions, RootAnswer, RootParts, Turn } from '../root-verbs/index.ts';
import {
  guestMounts,
  isPbsSnapshot,
  keyTest,
  nodePlaces,
  scratchRead,
  serveGuest,
  smart,
  snapshotDigest,
} from '../root-verbs/guests/index.ts';
import type { GuestWorld } from '../root-verbs/guests/index.ts';

/** Where root's things are. Nobody who asks may choose any of it. */
export interface RootPlaces {
  readonly trust: string;
  readonly breakGlass: string;
  readonly policy: string;
  /** Receipts and spent jobs. */
  readonly state: string;
  /** Turns, and a private folder for ssh-keygen. Root's alone, and so not the folder that the socket is in. */
  readonly run: string;
  readonly breakGlassRun: string;
  readonly units: string;
  /** sysfs. */
  readonly sys: string;
}

export const rootPlaces: RootPlaces = {
  trust: '/etc/felhom/trust.json',
  breakGlass: '/etc/felhom/break-glass.json',
  policy: '/etc/felhom/policy.yaml',
  state: '/var/lib/felhom-root',
  run: '/run/felhom-root/private',
  breakGlassRun: '/run/felhom-break-glass',
  units: '/run/systemd/system',
  sys: '/sys',
};

export interface RootWorld {
  /** Who runs this, and who owns what is believed: both 0 on a host. */
  readonly uid: number | undefined;
  readonly rootUid: number;
  readonly places: RootPlaces;
  /** What is being run; it has to be root's like everything else. */
  readonly program: readonly string[];
  readonly systemctl: Systemctl;
  /** What only reads: Proxmox's own tools, and what tells a device. */
  readonly tools: ArchiveCommands & {
    readonly perl: HostCommand;
    /** May take hours. */
    readonly slowPerl: HostCommand;
    /** `env`, for a program that is told by variables where its secrets are. */
    readonly env: HostCommand;
    readonly smartctl: HostCommand;
    /** Lists only, and answers from memory. */
    readonly loops: HostCommand;
    readonly stat: HostCommand;
  };
  readonly guests: GuestWorld;
  readonly storage: StorageWorld;
  /** Absent in a test that is about something else. */
  readonly tunnel?: TunnelWorld;
  readonly sshKeygen: string;
  readonly clock: Pick<Clock, 'now' | 'sleep'>;
  /** So long a request waits while another is at work, milliseconds. */
  readonly turnWaitMs: number;
}

export interface RootVerbIo {
  readonly stdin: Readable;
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/** A host as it is. */
export function hostRoot(): RootWorld {
  return {
    uid: process.getuid?.(),
    rootUid: 0,
    places: rootPlaces,
    program: [process.execPath, process.argv[1] ?? process.execPath].map((file) => realpathSync(file)),
    systemctl: createSystemctl(),
    tools: {
      pvesm: createHostCommand({ program: '/usr/sbin/pvesm' }),
      perl: createHostCommand({ program: '/usr/bin/perl' }),
      findmnt: createHostCommand({ program: '/usr/bin/findmnt' }),
      dd: createHostCommand({ program: '/usr/bin/dd' }),
      slowPerl: createHostCommand({ program: '/usr/bin/perl', timeoutMs: 6 * 3_600_000 }),
      env: createHostCommand({ program: '/usr/bin/env' }),
      smartctl: createHostCommand({ program: '/usr/sbin/smartctl' }),
      loops: createHostCommand({ program: '/usr/sbin/losetup', timeoutMs: 15_000 }),
      stat: createHostCommand({ program: '/usr/bin/stat', timeoutMs: 15_000 }),
    },
    guests: hostGuests(),
    storage: hostStorage(rootPlaces.policy),
    tunnel: hostTunnel({ ...rootPlaces, systemctl: createSystemctl(), policy: () => readPolicy(rootPlaces, 0) }),
    sshKeygen: '/usr/bin/ssh-keygen',
    clock: systemClock(),
    turnWaitMs: 60_000,
  };
}

function hostGuests(): GuestWorld {
  // Freeing a volume of a slow storage, a lock that somebody holds: root waits longer than the agent does.
  const tool = (program: string) => createHostCommand({ program, timeoutMs: 600_000 });
  return {
    places: nodePlaces,
    tools: {
      perl: createHostCommand({ program: '/usr/bin/perl' }),
      pct: tool('/usr/sbin/pct'),
      pvesm: tool('/usr/sbin/pvesm'),
      pvesh: tool('/usr/bin/pvesh'),
      umount: tool('/usr/bin/umount'),
      losetup: tool('/usr/sbin/losetup'),
    },
  };
}

/** Leaves behind what whoever started this process set for it; so do the programs it starts. */
export function enterRoot(): void {
  process.umask(0o077);
  // Whoever asked may be gone by now. What was done stands in its receipt.
  process.stdout.on('error', () => {});
  process.chdir('/');
  for (const name of Object.keys(process.env)) delete process.env[name];
  process.env['PATH'] = '/usr/sbin:/usr/bin:/sbin:/bin';
  process.env['LC_ALL'] = 'C';
}

/** What the process ends with where it gives no answer. */
const noAnswer = 70;
/** An envelope is text inside of text: each of its quotes and line ends takes more bytes here. */
const longestRequestBytes = 4 * maxEnvelopeBytes;
const longestReadMs = 10_000;
const longestAnswerText = 1_000;

/** Resolves with the exit code. */
export async function runRootVerb(io: RootVerbIo, world: RootWorld, signal: AbortSignal): Promise<number> {
  try {
    const answer = await answerOne(io.stdin, world, signal);
    const said = 'text' in answer ? { ...answer, text: answer.text.slice(0, longestAnswerText) } : answer;
    io.stdout.write(JSON.stringify({ v: 1, ...said } satisfies HelperAnswer));
    return 0;
  } catch (error) {
    io.stderr.write(`felhom-agent root-verb: ${error instanceof Error ? error.message : String(error)}\n`);
    return noAnswer;
  }
}

type Answer =
  | RootAnswer
  | Awaited<ReturnType<typeof archiveDigest>>
  | Awaited<ReturnType<typeof scratchRead>>
  | Awaited<ReturnType<typeof keyTest>>
  | { readonly is: 'done'; readonly guestMounts: { running: boolean; mounts: GuestMount[] } }
  | Awaited<ReturnType<typeof smart>>
  | Awaited<ReturnType<typeof showTunnelFence>>
  // A list of its own, because what goes out on the wire is written.
  | { readonly is: 'done'; readonly volumes: VolumeId[] };

async function answerOne(stdin: Readable, world: RootWorld, signal: AbortSignal): Promise<Answer> {
  if (world.uid !== world.rootUid)
    return refused('cannot act for root: this is not root; look at felhom-root@.service or the sudo rule');
  const exposed = exposedProgram(world.program, statSync, world.rootUid);
  if (exposed !== undefined)
    return refused(
      `cannot act for root: whoever can write this program would be root: ${exposed.text}; make it root's alone (chown -R root, chmod -R go-w)`,
    );
  const read = await readRequest(stdin, world.clock, signal);
  if (read.is === 'refused') return read;
  const { request } = read;
  switch (request.verb) {
    // These change nothing and may take hours, so they hold nobody up.
    case 'volumes-of': {
      const found = await volumesOf(world.tools.perl, request.vmid);
      return found.is === 'done' ? { is: 'done', volumes: [...found.volumes] } : found;
    }
    case 'archive-digest':
      return isPbsSnapshot(request.archive)
        ? snapshotDigest(world.guests.places, world.tools.env, request.archive)
        : archiveDigest(world.tools, request.archive, signal);
    case 'scratch-read': {
      const policy = readPolicy(world.places, world.rootUid);
      if ('bad' in policy) return refused(`cannot look into ${request.vmid}: ${policy.bad}`);
      const { places } = world.guests;
      return scratchRead({ places, policy }, world.tools.slowPerl, request.vmid, request.volumes);
    }
    case 'guest-mounts': {
      const policy = readPolicy(world.places, world.rootUid);
      if ('bad' in policy) return refused(`cannot look at the mounts of ${request.vmid}: ${policy.bad}`);
      const { losetup, stat } = { losetup: world.tools.loops, stat: world.tools.stat };
      const { registry, mountRoot } = world.storage;
      const { places } = world.guests;
      const facts = { places, sys: world.places.sys, dev: '/dev', policy, manifest: registry.read, mountRoot };
      const looked = await guestMounts(facts, { losetup, stat }, request.vmid);
      if (looked.is !== 'done') return looked;
      return { is: 'done', guestMounts: { ...looked.guestMounts, mounts: [...looked.guestMounts.mounts] } };
    }
    case 'key-test':
      return keyTest(world.guests.places, world.tools.env, request.archive);
    case 'credential-test':
      return testCredential(world.storage, request.target);
    case 'tunnel-show':
      return showTunnelFence(world.tunnel);
    case 'smart':
      return smart(world.tools.smartctl, request.device);
    case 'reap-stub':
    case 'unlock':
    case 'pool-ensure': {
      const policy = () => readPolicy(world.places, world.rootUid);
      return inTurn(world, request, signal, (parts) => serveGuest(request, { ...parts, guests: world.guests, policy }));
    }
    case 'trust-update':
    case 'break-glass-open':
    case 'break-glass-close':
    case 'break-glass-show':
    case 'witness':
    case 'target-apply':
    case 'mount':
    case 'unmount':
    case 'storage-define':
    case 'tunnel-apply':
    case 'tunnel-restart':
    case 'show':
      return inTurn(world, request, signal, (parts) => serveVerb(request, parts, signal));
  }
}

/** Looking takes a turn too: no receipt means "not done" only while nobody is doing it. */
async function inTurn(
  world: RootWorld,
  request: HelperRequest,
  signal: AbortSignal,
  work: (parts: RootParts) => Promise<RootAnswer>,
): Promise<RootAnswer> {
  ownFolder(world.places.run);
  const turn = await waitForTurn(world, signal);
  if (turn.is === 'taken')
    return { is: 'busy', text: `cannot ${request.verb}: process ${turn.pid} is at work for root; ask again` };
  try {
    const overtaken = whyOvertaken(request, witnessIn(join(world.places.state, 'fence')));
    return overtaken ?? (await work(partsOf(world)));
  } finally {
    turn.end();
  }
}

/** Two that come in one moment may both be told that it is taken, so no two ask again after the same time. */
async function waitForTurn({ places, clock, turnWaitMs }: RootWorld, signal: AbortSignal): Promise<Turn> {
  const pauseMs = 50 + (process.pid % 50);
  for (let waited = 0; ; waited += pauseMs) {
    const turn = takeTurn({ folder: join(places.run, 'turns') });
    if (turn.is === 'mine' || waited >= turnWaitMs) return turn;
    await clock.sleep(pauseMs, signal);
  }
}

/** Makes nothing yet: closing has to work on a disk that takes no more. */
function partsOf({ places, rootUid, clock, sshKeygen, systemctl, storage, tunnel }: RootWorld): RootParts {
  return {
    trustFile: places.trust,
    trust: createTrustFile(places.trust, { ownerUids: [rootUid] }),
    verifier: createSshKeygenVerifier({ program: sshKeygen, directory: join(places.run, 'verify'), clock }),
    place: { runDirectory: places.breakGlassRun, unitDirectory: places.units, systemctl, files: rootFiles },
    breakGlass: () => readBreakGlass(places, rootUid),
    consumed: consumedJobsIn(join(places.state, 'consumed-jobs')),
    receipts: receiptsIn(join(places.state, 'receipts')),
    witness: witnessIn(join(places.state, 'witness')),
    tunnelRestarts: join(places.state, 'tunnel-restarts'),
    storage,
    ...(tunnel === undefined ? {} : { tunnel }),
    now: () => clock.now(),
  };
}

/** The ranges in which anything is done unsigned; root's, or nothing. */
function readPolicy({ policy }: RootPlaces, rootUid: number): HostPolicy | { readonly bad: string } {
  const owned = readRootOwned(policy, [rootUid]);
  if (owned.is === 'unreadable') return { bad: owned.why.text };
  const loaded = loadFile(policy, hostPolicy);
  return loaded.is === 'bad' ? { bad: loaded.why.text } : loaded.value;
}

/** Both files are root's: what others can write says nothing about how far the host may be opened. */
function readBreakGlass(places: RootPlaces, rootUid: number): ReturnType<RootParts['breakGlass']> {
  const glass = readRootOwned(places.breakGlass, [rootUid]);
  if (glass.is === 'unreadable') return { bad: glass.why.text };
  const policy = readPolicy(places, rootUid);
  if ('bad' in policy) return policy;
  const { maxMinutes } = policy.breakGlass;
  if (glass.is === 'none') return { settings: undefined, maxMinutes };
  const settings = loadFile<OpenOptions['settings']>(places.breakGlass, breakGlassSettings);
  return settings.is === 'bad' ? { bad: settings.why.text } : { settings: settings.value, maxMinutes };
}

type ReadRequest = { readonly is: 'request'; readonly request: HelperRequest } | RefusedRequest;
type RefusedRequest = { readonly is: 'refused'; readonly text: string };

/** Exactly one document, whole, small and in time: a request that never ends would keep everybody else waiting. */
async function readRequest(stdin: Readable, clock: RootWorld['clock'], signal: AbortSignal): Promise<ReadRequest> {
  const late = new AbortController();
  const ended = new AbortController();
  clock.sleep(longestReadMs, ended.signal).then(
    () => late.abort(new Error('it did not end in time')),
    () => {},
  );
  addAbortSignal(AbortSignal.any([signal, late.signal]), stdin);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > longestRequestBytes) return unreadable(`it has more than ${longestRequestBytes} bytes`);
      chunks.push(chunk);
    }
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
    const parsed = helperRequest.safeParse(JSON.parse(text));
    if (parsed.success) return { is: 'request', request: parsed.data };
    const [issue] = parsed.error.issues;
    return unreadable(`${issue?.path.map(String).join('.') ?? ''} ${issue?.message ?? ''}`.trim());
  } catch (error) {
    if (late.signal.aborted) return unreadable('it did not end in time');
    if (signal.aborted) return unreadable('this process was told to stop');
    // Words of the parser may show what was sent, and an envelope is nobody's business.
    return unreadable(error instanceof SyntaxError ? 'it is not one JSON document' : 'it is not whole UTF-8 text');
  } finally {
    ended.abort();
  }
}

const unreadable = (why: string): RefusedRequest => refused(`cannot read the request: ${why}`);

const refused = (text: string): RefusedRequest => ({ is: 'refused', text });
