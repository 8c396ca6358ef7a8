/**
 * What an agent that has nothing to do takes: a real process against a fake node and a real hub on loopback, next to a
 * Node process that only listens for HTTPS, at the same time and with the same flags.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { labGuest } from '@felhom/lab';
import type { Stage } from '@felhom/lab';
import { mountHanging, noHangingMount } from '../packages/agent/test/hanging-mount.ts';
import { openHubSide } from '../scripts/vm/hub-side.ts';
import { makeDisk } from '../scripts/vm/targets.ts';
import type { TestTarget } from '../scripts/vm/targets.ts';
import { bareServer } from './bare-server.ts';
import {
  addShare,
  declarations,
  makeMountPoint,
  mountDisk,
  recordsIn,
  seesRealMounts,
  share,
  undo,
} from './declared-targets.ts';
import type { Ends } from './declared-targets.ts';
import { noLoopDevices } from './loop-drops.ts';
import { writePlainAgent } from './plain-javascript.ts';
import { watchProcess } from './process-cost.ts';
import type { ProcessCost } from './process-cost.ts';
import type { Section, SectionResult } from './section.ts';
import { figure, ratio } from './statistics.ts';

/** What the service runs with: small young generation, because little is ever alive and the heap need not grow for it. */
export const serviceFlags = ['--max-semi-space-size=1'] as const;
const fewGuests = 2;
const manyGuests = 20;
/** Disks, and one share. */
const declaredTargets = 5;
const quiet = '--disable-warning=ExperimentalWarning';

/**
 * Before the host was watched, at commit e807606 on 2026-11-24, kept from this section as it was then: the agent as it
 * shipped, on this kind of machine.
 */
const landedBefore = { guests: 20, rssMiB: 100.1, anonMiB: 41.1, cpuSeconds: 0.12 } as const;

export const idle: Section = {
  name: 'idle',
  title: 'An agent that has nothing to do',
  run: async ({ quick, tell }) => {
    const seconds = quick ? 15 : 60;
    const folder = mkdtempSync(join(tmpdir(), 'felhom-bench-'));
    try {
      const plain = writePlainAgent(join(folder, 'plain'));
      writeFileSync(join(folder, 'bare.mjs'), bareServer);
      const rows: Row[] = [];
      for (const guests of quick ? [fewGuests] : [fewGuests, manyGuests]) {
        tell(`bringing up ${guests} guests`);
        const box = await openBox(join(folder, `box-${guests}`), guests);
        try {
          tell(`watching for ${seconds} s with ${guests} guests`);
          rows.push(...(await watchAll(box, { guests, seconds, plain, bare: join(folder, 'bare.mjs') })));
        } finally {
          await box.close();
        }
      }
      return tables(rows, seconds);
    } finally {
      remove(folder, tell);
    }
  },
};

/** What went wrong before is worth more than that this did. */
function remove(folder: string, tell: (text: string) => void): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  } catch (error) {
    tell(`cannot remove ${folder}: ${String(error)}`);
  }
}

interface Row {
  readonly what: string;
  readonly guests: number;
  readonly flags: string;
  readonly cost: ProcessCost;
  readonly peer: ProcessCost;
}

interface Box {
  readonly stage: Stage;
  /** Targets that are mounted here, and the configuration of an agent that has them declared. */
  readonly targets: number;
  readonly withTargets: Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}

/** A pass every thirty seconds, as the policy's default is. */
async function openBox(folder: string, guests: number): Promise<Box> {
  mkdirSync(folder);
  const ends: Ends = [];
  try {
    const real = (noHangingMount() ?? (await noLoopDevices())) === undefined;
    const disks: TestTarget[] = [];
    for (let at = 1; at < (real ? declaredTargets : 0); at += 1) {
      const disk = await makeDisk(folder, `bench-idle-${at}`);
      disks.push(disk);
      await mountDisk(disk, disk.file, recordsIn(folder), ends);
    }
    if (real) {
      await makeMountPoint(share.path, ends);
      // It answers all the time.
      const mount = await mountHanging(share.path, share.source);
      ends.push(() => mount.end());
    }
    const hub = await openHubSide(disks, {
      folder: join(folder, 'stage'),
      lifeless: false,
      pace: { restoreMs: 30, startMs: 30 },
      guestRange: guests + 5,
      policy: { limits: { blastRadius: 200, guests: 200 } },
      config: { reconcile: { everySeconds: 30 } },
    });
    ends.push(() => hub.close());
    if (real) await addShare(hub);
    const storageFile = join(folder, 'storage.json');
    writeFileSync(storageFile, declarations(disks), { mode: 0o644 });
    await bringUp(hub.stage, folder, guests);
    return {
      stage: hub.stage,
      targets: real ? declaredTargets : 0,
      withTargets: real ? seesRealMounts(hub, folder, storageFile) : {},
      close: () => undo(ends),
    };
  } catch (error) {
    await undo(ends);
    throw error;
  }
}

async function bringUp(stage: Stage, folder: string, guests: number): Promise<void> {
  const desired = { v: 1, guests: Array.from({ length: guests }, (_, at) => labGuest(`idle-${at}`)) };
  const file = join(folder, 'wanted.yaml');
  writeFileSync(file, JSON.stringify(desired));
  const applied = await stage.felhom(['desired', 'apply', 'lab', file, '--yes']);
  if (applied.code !== 0) throw new Error(`cannot apply desired state: ${applied.out}${applied.err}`);
  stage.agent.start();
  await stage.until(
    `${guests} guests are up`,
    async () => {
      const report = await stage.report();
      return report?.converged === true && report.guests.length === guests;
    },
    600_000,
  );
  await stage.agent.kill('SIGTERM');
}

interface Watch {
  readonly guests: number;
  readonly seconds: number;
  /** Programs: the agent as plain JavaScript, and the peer. */
  readonly plain: string;
  readonly bare: string;
}

interface Form {
  readonly what: string;
  readonly program: string;
  readonly flags: readonly string[];
  readonly config: Readonly<Record<string, unknown>>;
  readonly targets: number;
}

async function watchAll(box: Box, watch: Watch): Promise<readonly Row[]> {
  const { stage } = box;
  const { plain } = watch;
  const source = resolve(import.meta.dirname, '../packages/agent/src/main.ts');
  const ships = { program: plain, flags: serviceFlags };
  const looks = { watchHost: true };
  const forms: readonly Form[] = [
    { what: 'agent as it ships', ...ships, config: { ...looks, ...box.withTargets }, targets: box.targets },
    { what: 'without targets', ...ships, config: looks, targets: 0 },
    { what: 'without targets, helper and watch over the host', ...ships, config: { helper: undefined }, targets: 0 },
    { what: 'as plain JavaScript, without targets', program: plain, flags: [], config: looks, targets: 0 },
    { what: 'from its TypeScript, without targets', program: source, flags: [], config: looks, targets: 0 },
  ];
  const rows: Row[] = [];
  // What the last two differ in does not depend on the number of guests.
  for (const form of watch.guests === fewGuests ? forms : forms.slice(0, 3)) {
    stage.writeConfig(form.config);
    const argv = [quiet, ...form.flags, form.program, '--config', stage.place.agentConfig, 'run'];
    const agent = spawn(process.execPath, argv, { stdio: 'ignore' });
    const { cert, key } = writeCertificate(stage);
    const bare = spawn(process.execPath, [quiet, ...form.flags, watch.bare, cert, key], { stdio: 'ignore' });
    try {
      await stage.until('the agent looked at the host', async () => {
        const report = await stage.report();
        const attached = report?.targets.filter(({ state }) => state === 'attached').length;
        return report?.converged === true && attached === form.targets;
      });
      // Past the start: what it loaded for that alone may go again.
      await wait(5_000);
      const [cost, peer] = await Promise.all([
        watchProcess(pidOf(agent), watch.seconds),
        watchProcess(pidOf(bare), watch.seconds),
      ]);
      const what = form.targets === 0 ? form.what : `${form.what}, ${form.targets} targets`;
      rows.push({ what, guests: watch.guests, flags: form.flags.join(' '), cost, peer });
    } finally {
      await Promise.all([end(agent), end(bare)]);
    }
  }
  return rows;
}

function writeCertificate(stage: Stage): { cert: string; key: string } {
  const tls = stage.authority.issue();
  const [cert, key] = [join(stage.place.folder, 'bare.pem'), join(stage.place.folder, 'bare.key')];
  writeFileSync(cert, tls.cert);
  writeFileSync(key, tls.key, { mode: 0o600 });
  return { cert, key };
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined || child.exitCode !== null) throw new Error('cannot watch a process that did not stay');
  return child.pid;
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((done) => {
    child.once('exit', () => done());
    child.kill('SIGTERM');
  });
}

function tables(rows: readonly Row[], seconds: number): SectionResult {
  const mib = (value: number): string => figure(value);
  return {
    tables: [
      {
        title: `Memory in MiB, and CPU seconds over ${seconds} s`,
        columns: [
          'process',
          'guests',
          'RSS',
          'own (anon)',
          'bare RSS',
          'bare own',
          'RSS to bare',
          'CPU s',
          'its children',
          'children own',
          'bare CPU s',
        ],
        rows: rows.map(({ what, guests, cost, peer }) => [
          what,
          String(guests),
          mib(cost.rssMiB),
          mib(cost.anonMiB),
          mib(peer.rssMiB),
          mib(peer.anonMiB),
          ratio(cost.rssMiB, peer.rssMiB),
          cost.cpuSeconds.toFixed(2),
          cost.childSeconds.toFixed(2),
          mib(cost.childAnonMiB),
          peer.cpuSeconds.toFixed(2),
        ]),
      },
      {
        title: `Before the host was watched, ${landedBefore.guests} guests: commit e807606, a minute`,
        columns: ['process', 'RSS', 'own (anon)', 'CPU s'],
        rows: [
          [
            'agent as it ships',
            mib(landedBefore.rssMiB),
            mib(landedBefore.anonMiB),
            landedBefore.cpuSeconds.toFixed(2),
          ],
        ],
      },
    ],
    notes: [
      `"As it ships" is plain JavaScript with ${serviceFlags.join(' ')}; the bare peer runs with the same flags.`,
      'A pass every 30 s; a poll every 10 s, as the hub of the lab asks for, three times as often as on a host, over a connection that is kept. CPU is counted in steps of 0.01 s.',
      'Targets are four loop devices and a share. The host is looked at every 30 s. Children are findmnt and udevadm, which go on, systemctl, timedatectl, and whoever asks the share once a minute.',
      'From its TypeScript the agent pays for the compiler that strips the types; that is for development only.',
    ],
    figures: Object.fromEntries(
      rows.flatMap(({ what, guests, cost, peer }) => {
        const name = `${guests}.${what.replaceAll(' ', '-')}`;
        return [
          [`${name}.rss-mib`, cost.rssMiB],
          [`${name}.anon-mib`, cost.anonMiB],
          [`${name}.bare-rss-mib`, peer.rssMiB],
          [`${name}.cpu-s`, cost.cpuSeconds],
          [`${name}.children-cpu-s`, cost.childSeconds],
        ];
      }),
    ),
  };
}
