/** The suite for real nodes, run against a fake one over real HTTPS with root's helper behind it. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { openStage } from './stage.ts';

const root = resolve(import.meta.dirname, '../../../..');

export interface SuiteRun {
  readonly code: number | null;
  /** Both streams; empty where the suite wrote to the terminal itself. */
  readonly said: string;
  /** VMIDs of guests that the suite left behind. */
  readonly left: readonly number[];
  readonly secret: string;
}

export interface SuiteOptions {
  /** Beginnings of the names of the files to run; all unless told. */
  readonly only?: readonly string[];
  readonly output: 'kept' | 'terminal';
  /** Without root's helper, as on a node where nobody gave one. */
  readonly withoutHelper?: boolean;
}

export async function runSuiteOnFake({ only, output, withoutHelper }: SuiteOptions): Promise<SuiteRun> {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-test-pve-'));
  const stage = await openStage({ folder, pace: { restoreMs: 400, startMs: 100, stopMs: 50, allocateMs: 20 } });
  try {
    const { policy, token } = stage.pve;
    const golden = policy.goldens['debian-13'];
    if (golden === undefined) throw new Error('the fake node has no golden image');
    const { guests, scratch } = policy.vmids;
    const helper = [
      process.execPath,
      resolve(import.meta.dirname, '../host-helper/main.ts'),
      stage.place.controlSocket,
    ];
    const suite = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'scripts/test-pve.ts'], {
      cwd: root,
      env: {
        PATH: process.env['PATH'],
        FELHOM_PVE_OPT_IN: 'yes-create-and-destroy-guests',
        FELHOM_PVE_URL: stage.server.url,
        FELHOM_PVE_TOKEN_FILE: stage.place.token,
        FELHOM_PVE_CA_FILE: stage.place.nodeCa,
        FELHOM_PVE_NODE: policy.node,
        FELHOM_PVE_STORAGE: 'guests',
        FELHOM_PVE_BRIDGE: 'vmbr0',
        FELHOM_PVE_POOL: policy.pool,
        FELHOM_PVE_ARCHIVE: golden.archive,
        FELHOM_PVE_VMIDS: `${guests.from}-${guests.to}`,
        FELHOM_PVE_SCRATCH: `${scratch.from}-${scratch.to}`,
        FELHOM_PVE_STATE: join(folder, 'suite'),
        ...(withoutHelper === true ? {} : { FELHOM_PVE_HELPER: JSON.stringify(helper) }),
        ...(only === undefined ? {} : { FELHOM_PVE_ONLY: only.join(',') }),
      },
      stdio: output === 'kept' ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
    });
    const ended = new Promise<number | null>((done) => suite.once('exit', (code) => done(code)));
    const streams = [suite.stdout, suite.stderr].flatMap((stream) => (stream === null ? [] : [text(stream)]));
    const [code, ...said] = await Promise.all([ended, ...streams]);
    const isSuites = (vmid: number): boolean => [guests, scratch].some(({ from, to }) => vmid >= from && vmid <= to);
    return {
      code,
      said: said.join('\n'),
      left: stage.pve.node.guests.ids().filter(isSuites),
      secret: token.slice(token.indexOf('=') + 1),
    };
  } finally {
    await stage.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
