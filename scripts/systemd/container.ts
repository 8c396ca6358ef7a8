/**
 * Debian 13 booted in a container, with systemd as its first process and nothing of it kept afterwards. The files of
 * `packaging/` are installed in it as `docs/operations.md` says.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { runProgram } from '../vm/run-program.ts';
import type { Ended } from '../vm/run-program.ts';
import { ensureDebian, ownedProject } from './debian.ts';
import { unifiedCgroups } from './requirements.ts';

export interface Container {
  /** As root, or as a user of the container. */
  run(command: readonly string[], options?: { readonly as?: string; readonly input?: string }): Promise<Ended>;
  /** The same; throws on any exit code but 0. What it printed, trimmed. */
  must(...command: readonly string[]): Promise<string>;
  write(file: string, text: string, mode?: string): Promise<void>;
  /** A property of a unit. */
  show(unit: string, property: string): Promise<string>;
  /** Waits until `holds` does; throws with `what` after 90 seconds. Resolves with the milliseconds it took. */
  until(what: string, holds: () => Promise<boolean>): Promise<number>;
}

/** What the agent's package brings. */
const installed = ['packages', 'packaging', 'node_modules', 'package.json'];

/** Of a machine that has much else to do. */
const longestWaitMs = 90_000;

/** Ends with the test. `name` tells containers of one run apart. */
export async function bootContainer(t: TestContext, name: string): Promise<Container> {
  const debian = await ensureDebian(() => {});
  const program = await ownedProject();
  const machine = `felhom-${process.pid}-${name}`;
  const group = join(unifiedCgroups() ?? '', machine);
  mkdirSync(group);
  const nspawn = spawn(
    'sh',
    [
      '-c',
      'echo $$ > "$0/cgroup.procs" && exec "$@"',
      group,
      'systemd-nspawn',
      '--quiet',
      `--directory=${debian}`,
      '--register=no',
      '--keep-unit',
      '--boot',
      `--machine=${machine}`,
      '--private-network',
      '--volatile=overlay',
      '--resolv-conf=off',
      '--timezone=off',
      // Its parts, not the whole: beside them lie the slots, and the link that says which one runs.
      ...installed.map((part) => `--bind-ro=${join(program, part)}:/opt/felhom/${part}`),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' } },
  );
  let said = '';
  nspawn.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<void>((resolve) => nspawn.once('close', () => resolve()));
  t.after(async () => {
    // It powers the container off; what does not end by then is ended by force.
    nspawn.kill('SIGTERM');
    const forced = new AbortController();
    void wait(5_000, undefined, { signal: forced.signal }).then(
      () => nspawn.kill('SIGKILL'),
      () => {},
    );
    await ended;
    forced.abort();
    await removeGroup(group);
  });
  // Asked each time: the first children of nspawn only prepare.
  const inside = (): readonly string[] => ['-t', String(childOf(nspawn.pid ?? 0) ?? 0), '-a'];
  const container: Container = {
    run(command, { as, input = '' } = {}) {
      const who = as === undefined ? [] : ['runuser', '-u', as, '--'];
      const env = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8'];
      return runProgram('nsenter', [...inside(), ...env, ...who, ...command], { input, timeoutMs: longestWaitMs });
    },
    must: async (...command) => {
      const { code, stdout, stderr } = await container.run(command);
      if (code !== 0)
        throw new Error(`${command.join(' ')} ended with ${code}: ${(stderr + stdout).trim().slice(-2000)}`);
      return stdout.trim();
    },
    write: async (file, text, mode = '0644') => {
      const place = 'install -D -m "$1" /dev/null "$0" && cat > "$0"';
      const { code, stderr } = await container.run(['sh', '-c', place, file, mode], { input: text });
      if (code !== 0) throw new Error(`cannot write ${file}: ${stderr}`);
    },
    show: (unit, property) => container.must('systemctl', 'show', '--value', '-p', property, unit),
    until: async (what, holds) => {
      const start = performance.now();
      await until(
        what,
        async () => ((await holds()) ? true : undefined),
        () => '',
      );
      return performance.now() - start;
    },
  };
  await until(
    'systemd runs',
    async () => {
      const { stdout, stderr } = await container.run(['systemctl', 'is-system-running', '--wait']);
      const state = stdout.trim();
      if (state === 'degraded') said += (await container.run(['systemctl', '--failed', '--no-pager'])).stdout;
      said = `${state} ${stderr}${said.slice(-2000)}`;
      return state === 'running' ? true : undefined;
    },
    () => said,
  );
  return container;
}

/** As docs/operations.md tells people to; starts nothing. */
export async function install(container: Container): Promise<void> {
  await container.must('cp', '-r', '/opt/felhom/packaging/usr/.', '/usr/');
  await container.must('systemd-sysusers');
  await container.must('systemd-tmpfiles', '--create');
  await container.must('systemctl', 'daemon-reload');
}

async function until<T>(what: string, look: () => Promise<T | undefined>, said: () => string): Promise<T> {
  const end = performance.now() + longestWaitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`not within ${longestWaitMs / 1000} s: ${what}. ${said()}`);
    await wait(300);
  }
}

/** The first process of the container. */
function childOf(pid: number): number | undefined {
  const file = `/proc/${pid}/task/${pid}/children`;
  const first = existsSync(file) ? readFileSync(file, 'utf8').trim().split(' ')[0] : '';
  return first === undefined || first === '' ? undefined : Number(first);
}

/** Its first process may still be being buried when nspawn has ended. */
async function removeGroup(path: string): Promise<void> {
  const folders = readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  // The innermost first.
  for (const folder of [...folders.sort().toReversed(), path])
    for (let tries = 50; tries > 0; tries -= 1)
      try {
        rmdirSync(folder);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
        await wait(100);
      }
}

/** `systemd-analyze` of Debian 13 over the units of `packaging/`, without a container. */
export async function analyze(...args: readonly string[]): Promise<Ended> {
  const debian = await ensureDebian(() => {});
  return runProgram('chroot', [debian, 'systemd-analyze', ...args]);
}
