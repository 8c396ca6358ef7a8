/** A Proxmox node for root's verbs about guests: its files in a folder, its programs as functions that move them. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandEnd, HostCommand } from '../src/ports/host-command.ts';
import type { GuestTools, NodePlaces } from '../src/root-verbs/guests/index.ts';

export const ourToken = 'felhom-agent@pve!agent';

/** Seconds since the epoch. */
export const taskTime = 1_795_476_610;

export interface MadeUpNode {
  readonly places: NodePlaces;
  readonly tools: GuestTools;
  writeConfig(vmid: number, text: string, kind?: 'lxc' | 'qemu-server', node?: string): string;
  writeTask(task: Partial<MadeUpTask>): string;
  /** A process in the made-up /proc; `ticks`: its start. */
  live(pid: number, ticks: number): void;
  /** What root's list of volumes shows. */
  setVolumes(volumes: readonly string[]): void;
  volumes(): readonly string[];
  mount(...points: string[]): void;
  setLoops(loops: Readonly<Record<string, string>>): void;
  /** Every program that was run, a line each. */
  ran(): readonly string[];
}

export interface MadeUpTask {
  readonly type: string;
  readonly id: string;
  readonly user: string;
  /** After `taskTime`, seconds. */
  readonly after: number;
  readonly pid: number;
  readonly ticks: number;
  /** The last line of its log. */
  readonly last: string;
  /** Until its last word, seconds. */
  readonly took: number;
}

const said = (stdout = '', code = 0, stderr = ''): CommandEnd => ({ code, stdout, stderr });

/** Makes what is missing; the same folder twice is the same node. */
export function madeUpNode(folder: string): MadeUpNode {
  const at = (...parts: string[]): string => join(folder, ...parts);
  const places: NodePlaces = {
    tasks: at('tasks'),
    etcPve: at('etc-pve'),
    lxc: '/var/lib/lxc',
    locks: at('locks'),
    proc: at('proc'),
  };
  const text = (file: string, otherwise: string): string =>
    existsSync(at(file)) ? readFileSync(at(file), 'utf8') : otherwise;
  const json = (file: string, otherwise: unknown): unknown => JSON.parse(text(file, JSON.stringify(otherwise)));
  for (const each of [
    'tasks',
    'etc-pve/nodes/pve1/lxc',
    'etc-pve/nodes/pve1/qemu-server',
    'etc-pve/priv/storage',
    'locks',
    'proc/1',
  ])
    mkdirSync(at(each), { recursive: true });
  for (const [file, empty] of [
    ['proc/1/mountinfo', '22 1 8:1 / / rw - ext4 /dev/sda1 rw\n'],
    ['proc/locks', '1: FLOCK  ADVISORY  WRITE 1234 00:01:1 0 EOF\n'],
    ['etc-pve/user.cfg', `user:felhom-agent@pve:1:0::::::\npool:felhom:the agent%3A its guests:9000,9800:local:\n`],
  ] as const)
    if (!existsSync(at(file))) writeFileSync(at(file), empty);

  const run =
    (program: string, does: (args: readonly string[]) => CommandEnd): HostCommand =>
    (args) => {
      appendFileSync(at('ran'), `${[program, ...args.map((arg) => arg.split('\n')[0])].join(' ')}\n`);
      return Promise.resolve(does(args));
    };
  const configFile = (vmid: string): string => at('etc-pve/nodes/pve1/lxc', `${vmid}.conf`);
  const volumes = (): readonly string[] => json('volumes.json', []) as readonly string[];
  const setVolumes = (list: readonly string[]): void => writeFileSync(at('volumes.json'), JSON.stringify(list));
  const loopsNow = (): Record<string, string> => json('loops.json', {}) as Record<string, string>;
  const tools: GuestTools = {
    perl: run('perl', ([, , , vmid = '']) => said(JSON.stringify(volumes().filter((id) => id.includes(`-${vmid}-`))))),
    pct: run('pct', ([verb, vmid = '']) => {
      const file = configFile(vmid);
      if (!existsSync(file)) return said('', 2, `Configuration file 'nodes/pve1/lxc/${vmid}.conf' does not exist`);
      const now = readFileSync(file, 'utf8');
      if (verb === 'unlock') writeFileSync(file, now.replace(/^lock: .*\n?/m, ''));
      else if (/^lock:/m.test(now)) return said('', 255, 'CT is locked');
      else rmSync(file);
      if (verb === 'destroy') moveInPool(vmid, false);
      return said();
    }),
    pvesm: run('pvesm', ([verb, volume = '']) => {
      if (verb === 'path') return said(`/srv/images/${volume.split(':')[1]}\n`);
      setVolumes(volumes().filter((id) => id !== volume));
      return said();
    }),
    pvesh: run('pvesh', (args) => {
      moveInPool(args.at(-1) ?? '', true);
      return said();
    }),
    umount: run('umount', ([, point = '']) => {
      const lines = text('proc/1/mountinfo', '').split('\n');
      const last = lines.findLastIndex((line) => line.split(' ')[4] === point);
      if (last < 0) return said('', 32, `umount: ${point}: not mounted.`);
      writeFileSync(at('proc/1/mountinfo'), lines.filter((_, index) => index !== last).join('\n'));
      return said();
    }),
    losetup: run('losetup', (args) => {
      const loops = loopsNow();
      if (args[0] === '--detach') {
        writeFileSync(at('loops.json'), JSON.stringify({ ...loops, [args[1] ?? '']: undefined }));
        return said();
      }
      const loopdevices = Object.entries(loops).map(([name, file]) => ({ name, 'back-file': file }));
      return said(loopdevices.length === 0 ? '' : JSON.stringify({ loopdevices }));
    }),
  };
  function moveInPool(vmid: string, into: boolean): void {
    const users = text('etc-pve/user.cfg', '');
    const moved = users.replace(/^(pool:felhom:[^:]*:)([^:]*)/m, (_, head: string, members: string) => {
      const others = members.split(',').filter((each) => each !== '' && each !== vmid);
      return `${head}${(into ? [...others, vmid] : others).join(',')}`;
    });
    writeFileSync(at('etc-pve/user.cfg'), moved);
  }
  const hex = (n: number): string => n.toString(16).toUpperCase().padStart(8, '0');
  return {
    places,
    tools,
    writeConfig: (vmid, config, kind = 'lxc', node = 'pve1') => {
      mkdirSync(at('etc-pve/nodes', node, kind), { recursive: true });
      const file = at('etc-pve/nodes', node, kind, `${vmid}.conf`);
      writeFileSync(file, config);
      return file;
    },
    writeTask: ({
      type = 'vzrestore',
      id = '9001',
      user = ourToken,
      after = 0,
      pid = 3947,
      ticks = 286_013,
      last = '',
      took = 0,
    }) => {
      const started = hex(taskTime + after);
      const upid = `UPID:pve1:${hex(pid)}:${hex(ticks)}:${started}:${type}:${id}:${user}:`;
      mkdirSync(at('tasks', started.slice(-1)), { recursive: true });
      const log = at('tasks', started.slice(-1), upid);
      writeFileSync(log, `recovering backed-up configuration\n${last}\n`);
      utimesSync(log, taskTime + after + took, taskTime + after + took);
      return upid;
    },
    live: (pid, ticks) => {
      mkdirSync(at('proc', String(pid)), { recursive: true });
      const fields = Array.from({ length: 50 }, (_, index) => (index === 19 ? ticks : 0));
      writeFileSync(at('proc', String(pid), 'stat'), `${pid} (task UPID) S ${fields.slice(1).join(' ')}\n`);
    },
    setVolumes,
    volumes,
    mount: (...points) => {
      const lines = points.map(
        (point, index) => `${50 + index} 22 7:${index} / ${point} rw - ext4 /dev/loop${index} rw\n`,
      );
      writeFileSync(at('proc/1/mountinfo'), text('proc/1/mountinfo', '') + lines.join(''));
    },
    setLoops: (loops) => writeFileSync(at('loops.json'), JSON.stringify(loops)),
    ran: () =>
      text('ran', '')
        .split('\n')
        .filter((line) => line !== ''),
  };
}
