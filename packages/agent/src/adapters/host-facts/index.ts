/**
 * The host's own facts: kernel files, and systemd through `systemctl` and `timedatectl`. Never waits for long: a sensor
 * behind a dead disk hangs in the kernel, so whatever reads one is asked again only when it came back.
 */
import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { reason } from '@felhom/protocol';
import type { Clock } from '../../kernel/clock.ts';
import { done, unknown } from '../../kernel/saga.ts';
import type { Outcome } from '../../kernel/saga.ts';
import type { HostFacts, HostSample, UnitState, Use } from '../../ports/host-facts.ts';
import type { Systemctl } from '../../ports/systemctl.ts';
import { blocksOf, cpuOf, degreesOf, firstNumber, memoryOf, newestKernel, pressureOf } from './kernel-files.ts';

export interface HostFactsOptions {
  /** Where the kernel and the system show themselves; elsewhere only in a test. */
  readonly roots: { readonly proc: string; readonly sys: string; readonly boot: string; readonly run: string };
  /** Measured for the fill of its file system. */
  readonly rootDirectory?: string;
  readonly systemctl: Systemctl;
  /** `timedatectl`, called like `systemctl`. */
  readonly timedatectl: Systemctl;
  readonly clock: Pick<Clock, 'now' | 'sleep'>;
  readonly patienceMs?: number;
}

/** Of a unit; in this order they cost one call for all units. */
const shown = 'Id,LoadState,ActiveState,UnitFileState,NRestarts,Result,Job';
const unitName = /^[A-Za-z0-9][A-Za-z0-9@:._\\-]{0,120}\.(?:service|target|timer|socket|mount)$/;
const mostSensors = 64;

export function createHostFacts(options: HostFactsOptions): HostFacts {
  const { roots, systemctl, timedatectl, clock } = options;
  const proc = (...names: string[]): Promise<string> => textOf(join(roots.proc, ...names));
  const sensors = oneAtATime(() => hottest(roots.sys), clock, options.patienceMs ?? 2_000);
  const root = oneAtATime(() => useOf(options.rootDirectory ?? '/'), clock, options.patienceMs ?? 2_000);

  return {
    async sample(signal): Promise<HostSample> {
      const [stat, load, uptime, meminfo, arcstats, cpu, memory, io, hottestC, rootDisk] = await Promise.all([
        proc('stat'),
        proc('loadavg'),
        proc('uptime'),
        proc('meminfo'),
        proc('spl', 'kstat', 'zfs', 'arcstats'),
        proc('pressure', 'cpu'),
        proc('pressure', 'memory'),
        proc('pressure', 'io'),
        sensors(signal),
        root(signal),
      ]);
      const pressure = [cpu, memory, io].map(pressureOf);
      return {
        uptimeSeconds: firstNumber(uptime),
        cpu: cpuOf(stat),
        load1: firstNumber(load),
        memory: memoryOf(meminfo, arcstats),
        rootDisk,
        pressure: pressure.includes(undefined)
          ? undefined
          : { cpu: pressure[0] ?? 0, memory: pressure[1] ?? 0, io: pressure[2] ?? 0 },
        hottestC,
      };
    },

    async units(names) {
      const wrong = names.find((name) => !unitName.test(name));
      if (wrong !== undefined) throw new Error(`no name of a unit: ${wrong.slice(0, 100)}`);
      const answer = await ask(systemctl, ['show', `--property=${shown}`, '--', ...names], 'read the state of units');
      return answer.is === 'done' ? done(blocksOf(answer.value).flatMap(unitOf)) : answer;
    },

    async clockSynchronised() {
      const answer = await ask(timedatectl, ['show', '--property=NTPSynchronized'], 'read whether the clock is set');
      if (answer.is !== 'done') return answer;
      const said = blocksOf(answer.value)[0]?.get('NTPSynchronized');
      if (said === 'yes' || said === 'no') return done(said === 'yes');
      return notTold('read whether the clock is set', 'timedatectl did not tell it');
    },

    async fence(unit) {
      const args = ['show', '--property=IPAddressAllow', '--', unit];
      const answer = await ask(systemctl, args, `read what ${unit} may reach`);
      if (answer.is !== 'done') return answer;
      const allowed = (blocksOf(answer.value)[0]?.get('IPAddressAllow') ?? '').split(' ').filter((one) => one !== '');
      const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
      return done({ allowed, own: own.flatMap(({ internal, address }) => (internal ? [] : [address])) });
    },

    async rebootPending() {
      try {
        if (await exists(join(roots.run, 'reboot-required'))) return done('a package asked for it');
        const running = (await proc('sys', 'kernel', 'osrelease')).trim();
        const newest = newestKernel(await readdir(roots.boot).catch(() => []));
        if (newest === undefined || running === '' || newest === running) return done(undefined);
        // One that was there when the host came up was not chosen, by a pin or by a person.
        const installed = await stat(join(roots.boot, `vmlinuz-${newest}`));
        const uptime = firstNumber(await proc('uptime'));
        if (uptime === undefined || installed.ctimeMs < clock.now() - uptime * 1000) return done(undefined);
        return done(`kernel ${newest} is installed, ${running} runs`.slice(0, 200));
      } catch (error) {
        return notTold('read whether a restart is due', (error as Error).message);
      }
    },
  };
}

const poolName = /^[A-Za-z][A-Za-z0-9_.:-]{0,120}$/;

/**
 * Pools of ZFS and their state, as the kernel tells anybody without asking a disk: `/proc/spl/kstat/zfs/<pool>/state`,
 * there since OpenZFS 0.8. None where there is no ZFS.
 */
export async function readZfsStates(proc: string): Promise<ReadonlyMap<string, string>> {
  const base = join(proc, 'spl', 'kstat', 'zfs');
  const found = new Map<string, string>();
  for (const name of (await readdir(base).catch(() => [])).filter((one) => poolName.test(one)).toSorted()) {
    const state = (await textOf(join(base, name, 'state'))).trim();
    // What is no pool has no state.
    if (/^[A-Z]{3,20}$/.test(state)) found.set(name, state);
  }
  return found;
}

async function ask(command: Systemctl, args: readonly string[], what: string): Promise<Outcome<string>> {
  try {
    const { code, stdout, stderr } = await command(args);
    if (code === 0) return done(stdout);
    return notTold(what, stderr.trim().slice(0, 200) || `it ended with ${code}`);
  } catch (error) {
    return notTold(what, (error as Error).message.slice(0, 200));
  }
}

const notTold = (what: string, why: string): Outcome<never> =>
  unknown(reason('host.not-told', `cannot ${what}: ${why}`));

function unitOf(block: ReadonlyMap<string, string>): UnitState[] {
  const unit = block.get('Id');
  if (unit === undefined) return [];
  return [
    {
      unit,
      load: block.get('LoadState') ?? '',
      active: block.get('ActiveState') ?? '',
      file: block.get('UnitFileState') ?? '',
      restarts: Number(block.get('NRestarts') ?? 0) || 0,
      result: block.get('Result') ?? '',
      // Number and path of the job; 0 or nothing where there is none.
      job: /^[1-9]/.test(block.get('Job') ?? ''),
    },
  ];
}

/** One after the other, so that of the few threads for files at most one can be lost to a sensor that hangs. */
async function hottest(sys: string): Promise<number | undefined> {
  const inputs: string[] = [];
  for (const [folder, entry, input] of [
    ['class/hwmon', /^hwmon\d+$/, /^temp\d+_input$/],
    ['class/thermal', /^thermal_zone\d+$/, /^temp$/],
  ] as const) {
    const base = join(sys, folder);
    for (const name of (await readdir(base).catch(() => [])).filter((one) => entry.test(one)).toSorted())
      for (const file of (await readdir(join(base, name)).catch(() => [])).filter((one) => input.test(one)))
        inputs.push(join(base, name, file));
  }
  let hot: number | undefined;
  for (const input of inputs.slice(0, mostSensors)) {
    const degrees = degreesOf(await textOf(input));
    if (degrees !== undefined) hot = Math.max(hot ?? degrees, degrees);
  }
  return hot;
}

async function useOf(path: string): Promise<Use | undefined> {
  const { bsize, blocks, bavail } = await statfs(path);
  return blocks === 0 ? undefined : { usedBytes: (blocks - bavail) * bsize, totalBytes: blocks * bsize };
}

const textOf = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );

/** `undefined` where it does not come back in time; while it is away nothing of the kind is begun. */
function oneAtATime<T>(
  read: () => Promise<T | undefined>,
  clock: Pick<Clock, 'sleep'>,
  patienceMs: number,
): (signal: AbortSignal) => Promise<T | undefined> {
  let away: Promise<T | undefined> | undefined;
  return async (signal) => {
    if (away !== undefined) return undefined;
    const waiting = new AbortController();
    const mine = read().catch(() => undefined);
    away = mine.finally(() => {
      away = undefined;
    });
    const late = clock.sleep(patienceMs, AbortSignal.any([signal, waiting.signal])).then(
      () => undefined,
      () => undefined,
    );
    const answer = await Promise.race([mine, late]);
    waiting.abort();
    return answer;
  };
}
