/**
 * One virtual machine: QEMU without KVM, a shell in it over ssh, and its USB ports. Whoever starts one ends it; if this
 * process dies first, however it dies, the kernel ends QEMU and ssh with it.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { copyFileSync, constants, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { connectQmp } from './qmp.ts';
import type { Qmp } from './qmp.ts';
import { mustRun, runProgram } from './run-program.ts';
import type { Ended } from './run-program.ts';

export interface MachineFiles {
  readonly kernel: string;
  readonly initrd: string;
  /** The file system that the others lie on, never written to. */
  readonly disk: string;
  readonly key: string;
  readonly knownHosts: string;
  /** Overlay of `disk`, with the snapshot `ready` once it is made. */
  readonly ready: string;
}

export interface Machine {
  readonly qmp: Qmp;
  /** A line for its shell, as root. Resolves however that ends. */
  run(line: string, options?: { readonly input?: string | Buffer; readonly timeoutMs?: number }): Promise<Ended>;
  /** The same, and throws with what it said on any exit code but 0. Resolves with its output, without the last line end. */
  must(line: string, options?: { readonly input?: string | Buffer; readonly timeoutMs?: number }): Promise<string>;
  /** Runs as long as the machine does, its lines told as they come. */
  follow(line: string, told: (line: string) => void): void;
  /** A stick with what is in the file of this machine, in a USB port of that one. */
  plug(stick: Stick): Promise<void>;
  /** Pulls it, without a word to the guest. Resolves when QEMU has taken the command. */
  pull(name: string): Promise<void>;
  /** `localhost:port` in the VM leads to that of this machine. */
  reach(port: number): Promise<void>;
  /** For files of this machine that live as long as the VM does. */
  readonly folder: string;
  /** What the kernel said on its console. */
  console(): string;
  end(): Promise<void>;
}

export interface Stick {
  readonly name: string;
  readonly file: string;
  readonly serial: string;
  readonly port: number;
}

/** What a snapshot fits: with anything else it cannot be restored. */
export const hardware: readonly string[] = (
  '-accel tcg,thread=multi -cpu max,la57=off -M q35 -m 2048 -smp 2 -nodefaults -no-reboot ' +
  '-display none -monitor none -device qemu-xhci,id=xhci'
).split(' ');

const commandLine = 'root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off';

/** From power on: some 25 seconds. */
export async function bootFresh(files: MachineFiles, signal: AbortSignal): Promise<Machine> {
  return start(files, files.ready, [], signal);
}

/** From the snapshot: a few seconds. Its own copy of the disk, thrown away at the end. */
export async function restore(files: MachineFiles, signal: AbortSignal): Promise<Machine> {
  return start(files, undefined, ['-loadvm', 'ready'], signal);
}

async function start(
  files: MachineFiles,
  disk: string | undefined,
  more: readonly string[],
  signal: AbortSignal,
): Promise<Machine> {
  signal.throwIfAborted();
  const folder = mkdtempSync(join(tmpdir(), 'felhom-vm-'));
  const children: ChildProcess[] = [];
  const end = async (): Promise<void> => {
    for (const child of children.toReversed()) await ended(child);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const own = disk ?? join(folder, 'disk.qcow2');
    if (disk === undefined) copyFileSync(files.ready, own, constants.COPYFILE_FICLONE);
    const port = await freePort();
    const qemu = child('qemu-system-x86_64', [
      ...hardware,
      '-serial',
      `file:${join(folder, 'console')}`,
      '-kernel',
      files.kernel,
      '-initrd',
      files.initrd,
      '-append',
      commandLine,
      '-drive',
      `file=${own},if=virtio,cache=unsafe`,
      '-nic',
      `user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:${port}-:22`,
      '-qmp',
      `unix:${join(folder, 'qmp')},server=on,wait=off`,
      ...more,
    ]);
    children.push(qemu);
    let died: string | undefined;
    let said = '';
    qemu.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    qemu.on('exit', (code, by) => {
      died = `QEMU ended with ${code ?? by ?? ''}: ${said.trim().slice(-300)}`;
    });
    /** Asks until it is so. */
    const until = async (what: string, ms: number, so: () => Promise<boolean> | boolean): Promise<void> => {
      const last = performance.now() + ms;
      while (!(await so())) {
        signal.throwIfAborted();
        if (died !== undefined) throw new Error(`cannot wait until ${what}: ${died}`);
        if (performance.now() > last) throw new Error(`${what}: not within ${ms / 1000} s`);
        await wait(50, undefined, { signal });
      }
    };
    await until('QEMU listens', 20_000, () => existsSync(join(folder, 'qmp')));
    const qmp = await connectQmp(join(folder, 'qmp'));
    if (more.length > 0) await qmp.execute('cont');
    const control = join(folder, 'ssh');
    const options = [
      'BatchMode=yes',
      'LogLevel=ERROR',
      'ConnectTimeout=60',
      'HostKeyAlias=vm',
      `UserKnownHostsFile=${files.knownHosts}`,
      `ControlPath=${control}`,
    ];
    const ssh = ['-F', 'none', '-i', files.key, '-p', String(port), ...options.flatMap((option) => ['-o', option])];
    await until('its shell answers', 180_000, async () => {
      const master = child('ssh', [...ssh, '-M', '-N', 'root@127.0.0.1']);
      const over = new Promise<void>((resolve) => master.once('exit', () => resolve()));
      await Promise.race([over, until('ssh is connected', 70_000, () => existsSync(control))]);
      if (master.exitCode !== null || master.signalCode !== null) return false;
      children.push(master);
      return true;
    });
    const line = (text: string): string[] => [...ssh, 'root@127.0.0.1', text];
    const run: Machine['run'] = (text, options = {}) =>
      runProgram('ssh', line(text), { signal, timeoutMs: 300_000, ...options });
    const must: Machine['must'] = async (text, options) => {
      const { code, stdout, stderr } = await run(text, options);
      if (code !== 0)
        throw new Error(
          `cannot run in the VM: ${text.slice(0, 300)}: it ended with ${code}: ${(stderr + stdout).trim().slice(-1500)}`,
        );
      return stdout.trimEnd();
    };
    // A restored clock stands where the snapshot was taken.
    await must(`date -s @${Math.floor(Date.now() / 1000)}`);
    return {
      qmp,
      run,
      must,
      end: async () => {
        qmp.close();
        await end();
      },
      follow(text, told) {
        const following = child('ssh', line(text));
        children.push(following);
        following.stdout?.setEncoding('utf8');
        let rest = '';
        following.stdout?.on('data', (piece: string) => {
          const lines = (rest + piece).split('\n');
          rest = lines.pop() ?? '';
          for (const one of lines) told(one);
        });
      },
      async plug({ name, file, serial, port }) {
        const node = `disk-${name}`;
        await qmp.execute('blockdev-add', {
          driver: 'raw',
          'node-name': node,
          file: { driver: 'file', filename: file },
        });
        await qmp.execute('device_add', {
          driver: 'usb-storage',
          id: name,
          drive: node,
          bus: 'xhci.0',
          port: String(port),
          serial,
          removable: true,
        });
      },
      async pull(name) {
        const gone = qmp.event('DEVICE_DELETED', AbortSignal.any([signal, AbortSignal.timeout(60_000)]));
        await Promise.all([gone, qmp.execute('device_del', { id: name })]);
        await qmp.execute('blockdev-del', { 'node-name': `disk-${name}` });
      },
      async reach(port) {
        await mustRun('ssh', [...ssh, '-O', 'forward', '-R', `${port}:127.0.0.1:${port}`, 'root@127.0.0.1'], {
          signal,
        });
      },
      folder,
      console: () => readFileSync(join(folder, 'console'), 'utf8'),
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** A child that the kernel kills when this process is gone. */
function child(program: string, args: readonly string[]): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      resolve();
      return;
    }
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
