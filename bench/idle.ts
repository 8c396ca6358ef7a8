/**
 * What an agent that has nothing to do takes: a real process against a fake node and a real hub on loopback, next to a
 * Node process that only listens for HTTPS, at the same time and with the same flags.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { labGuest, openStage } from '@felhom/lab';
import type { Stage } from '@felhom/lab';
import { bareServer } from './bare-server.ts';
import { writePlainAgent } from './plain-javascript.ts';
import { watchProcess } from './process-cost.ts';
import type { ProcessCost } from './process-cost.ts';
import type { Section, SectionResult } from './section.ts';
import { figure, ratio } from './statistics.ts';

/** What the service runs with: small young generation, because little is ever alive and the heap need not grow for it. */
export const serviceFlags = ['--max-semi-space-size=1'] as const;
const fewGuests = 2;
const quiet = '--disable-warning=ExperimentalWarning';

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
      for (const guests of quick ? [fewGuests] : [fewGuests, 20]) {
        tell(`bringing up ${guests} guests`);
        const stage = await stageWith(join(folder, `stage-${guests}`), guests);
        try {
          tell(`watching for ${seconds} s with ${guests} guests`);
          rows.push(...(await watchAll(stage, { guests, seconds, plain, bare: join(folder, 'bare.mjs') })));
        } finally {
          await stage.close();
        }
      }
      return tables(rows, seconds);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

interface Row {
  readonly what: string;
  readonly guests: number;
  readonly flags: string;
  readonly cost: ProcessCost;
  readonly peer: ProcessCost;
}

/** As a hub and the policy's defaults have it: a pass and a poll every thirty seconds. */
async function stageWith(folder: string, guests: number): Promise<Stage> {
  const stage = await openStage({
    folder,
    pace: { restoreMs: 30, startMs: 30 },
    guestRange: guests + 5,
    policy: { limits: { blastRadius: 200, guests: 200 } },
    config: { reconcile: { everySeconds: 30 } },
  });
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
    300_000,
  );
  await stage.agent.kill('SIGTERM');
  return stage;
}

interface Watch {
  readonly guests: number;
  readonly seconds: number;
  /** Programs: the agent as plain JavaScript, and the peer. */
  readonly plain: string;
  readonly bare: string;
}

async function watchAll(stage: Stage, watch: Watch): Promise<readonly Row[]> {
  const source = resolve(import.meta.dirname, '../packages/agent/src/main.ts');
  const rows: Row[] = [];
  const forms = [
    ['agent as it ships', watch.plain, serviceFlags, true],
    ['agent that does not look at its host', watch.plain, serviceFlags, false],
    ['agent as plain JavaScript', watch.plain, [], true],
    ['agent from its TypeScript', source, [], true],
  ] as const;
  // What the last two differ in does not depend on the number of guests.
  for (const [what, program, flags, watchHost] of watch.guests === fewGuests ? forms : forms.slice(0, 2)) {
    stage.writeConfig({ reconcile: { everySeconds: 30 }, watchHost });
    const agent = spawn(process.execPath, [quiet, ...flags, program, '--config', stage.place.agentConfig, 'run'], {
      stdio: 'ignore',
    });
    const { cert, key } = writeCertificate(stage);
    const bare = spawn(process.execPath, [quiet, ...flags, watch.bare, cert, key], { stdio: 'ignore' });
    try {
      await stage.until('the agent looked at the host', async () => (await stage.report())?.converged === true);
      // Past the start: what it loaded for that alone may go again.
      await wait(5_000);
      const [cost, peer] = await Promise.all([
        watchProcess(pidOf(agent), watch.seconds),
        watchProcess(pidOf(bare), watch.seconds),
      ]);
      rows.push({ what, guests: watch.guests, flags: flags.join(' '), cost, peer });
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
          peer.cpuSeconds.toFixed(2),
        ]),
      },
    ],
    notes: [
      `"As it ships" is plain JavaScript with ${serviceFlags.join(' ')}; the bare peer runs with the same flags.`,
      'A pass and a poll of the hub every 30 s, each over new TLS connections, as on a host. CPU is counted in steps of 0.01 s.',
      'The host is looked at every 30 s; its children are systemctl, once per minute, and timedatectl.',
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
