/**
 * Whether a target answers, found out without writing. Paths are touched by children only: one that hangs in the kernel
 * cannot even be killed, so it is left behind, and no second one is sent to the same path while it is there.
 */
import { spawn } from 'node:child_process';
import { connect } from 'node:tls';
import type { PeerCertificate } from 'node:tls';
import type { Probe, ProbeQuestion } from '../../ports/storage-devices.ts';

interface ChildEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function createProber(): (question: ProbeQuestion, limitMs: number) => Promise<Probe> {
  /** Paths of children that did not come back. */
  const stuck = new Set<string>();
  return async (question, limitMs) => {
    if (question.is === 'pbs') return probeServer(question.server, question.port, limitMs);
    const { path, markFile } = question;
    if (stuck.has(path)) return { is: 'hangs' };
    // Of all its children together: a disk that answers each of them late is no better than one that does not.
    const end = performance.now() + limitMs;
    const run = (args: readonly [string, ...string[]]): Promise<ChildEnd | undefined> =>
      runChild(
        args,
        Math.max(1, end - performance.now()),
        (hung) => void (hung ? stuck.add(path) : stuck.delete(path)),
      );
    const sizes = await run(['stat', '--file-system', '--format=%S %b %f', '--', path]);
    if (sizes === undefined) return { is: 'hangs' };
    if (sizes.code !== 0) return { is: 'fails', text: lastLine(sizes.stderr) };
    // Past the cache, which answers long after the disk is gone.
    const read = (flags: string) =>
      run(['dd', `if=${path}/${markFile}`, `iflag=${flags}`, 'bs=4096', 'count=1', 'status=none']);
    let mark = await read('direct,nofollow,nonblock');
    // Some file systems know no direct reading.
    if (mark?.stderr.includes('Invalid argument') === true) mark = await read('nofollow,nonblock');
    if (mark === undefined) return { is: 'hangs' };
    const known = { is: 'answers', ...sizesOf(sizes.stdout) } as const;
    if (mark.code === 0) return { ...known, mark: mark.stdout };
    return mark.stderr.includes('No such file') ? known : { is: 'fails', text: lastLine(mark.stderr) };
  };
}

function sizesOf(text: string): Pick<Extract<Probe, { is: 'answers' }>, 'sizes'> {
  const [unit, blocks, free] = text.trim().split(' ').map(Number);
  if (unit === undefined || blocks === undefined || free === undefined || !Number.isSafeInteger(unit * blocks))
    return {};
  return { sizes: { usedBytes: (blocks - free) * unit, totalBytes: blocks * unit } };
}

const lastLine = (text: string): string => (text.trim().split('\n').at(-1) ?? '').slice(0, 200) || 'no answer';

/** `undefined`: it did not end in time, and was killed; `onHung` tells when it is certain, and when it has gone after all. */
function runChild(
  [program, ...args]: readonly [string, ...string[]],
  limitMs: number,
  onHung: (hung: boolean) => void,
): Promise<ChildEnd | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout = (stdout + text).slice(0, 8192)));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(0, 8192)));
    const timer = setTimeout(() => {
      onHung(true);
      child.kill('SIGKILL');
      child.unref();
      child.stdout.destroy();
      child.stderr.destroy();
      resolve(undefined);
    }, limitMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve({ code: null, stdout: '', stderr: `cannot run ${program}: ${error.message}` });
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
    // Also of one that was given up: it is out of the kernel again.
    child.once('exit', () => onHung(false));
  });
}

/** The certificate is not judged here: whoever asks knows which one it has to be. */
function probeServer(server: string, port: number, limitMs: number): Promise<Probe> {
  return new Promise((resolve) => {
    const socket = connect({ host: server, port, rejectUnauthorized: false, timeout: limitMs });
    const timer = setTimeout(() => end({ is: 'hangs' }), limitMs);
    const end = (probe: Probe): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(probe);
    };
    socket.once('secureConnect', () => {
      const { fingerprint256 } = socket.getPeerCertificate() as Partial<PeerCertificate>;
      end({
        is: 'answers',
        ...(fingerprint256 === undefined ? {} : { fingerprint: fingerprint256.toLowerCase() }),
      });
    });
    socket.once('error', (error) => end({ is: 'fails', text: error.message.slice(0, 200) }));
  });
}
