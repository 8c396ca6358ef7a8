/**
 * One process per question. Nothing of it goes through a shell, through a file that has a name, or, but for principal
 * and namespace, through arguments. The program opens `/dev/fd/N` anew and so reads from the beginning (Linux, proc(5)).
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { reason } from '@felhom/protocol';
import type { ErrorCode } from '@felhom/protocol';
import type { Clock } from '../../kernel/clock.ts';
import type { SignatureAnswer, SignatureQuestion, SignatureVerifier } from '../../ports/signatures.ts';
import { systemClock } from '../system-clock/index.ts';
import { openSealed, securePrivateFolder } from './sealed-file.ts';

export interface SshKeygenOptions {
  /** A path, or a name that is looked up in PATH. */
  readonly program?: string;
  /** For the nameless files; made with mode 0700 where it is missing. */
  readonly directory: string;
  readonly clock?: Pick<Clock, 'sleep'>;
  readonly timeoutMs?: number;
}

const longestOutput = 16_384;
/** ssh-keygen reads years of four digits. */
const lastTime = 253_402_300_799_000;

export function createSshKeygenVerifier(options: SshKeygenOptions): SignatureVerifier {
  const program = options.program ?? 'ssh-keygen';
  const clock = options.clock ?? systemClock();
  const timeoutMs = options.timeoutMs ?? 20_000;
  return {
    async verify(question, signal) {
      if (signal.aborted) return noVerdict(question, 'pve.aborted', 'the agent stopped waiting');
      const files: number[] = [];
      try {
        securePrivateFolder(options.directory);
        for (const content of [question.signature, question.allowedSigners, question.revoked])
          files.push(openSealed(options.directory, content));
      } catch (error) {
        closeAll(files);
        return noVerdict(question, 'trust.verifier-failed', (error as Error).message);
      }
      try {
        return verdictOf(program, question, await run({ program, clock, timeoutMs }, question, files, signal));
      } catch (error) {
        return noVerdict(question, 'trust.verifier-failed', (error as Error).message);
      } finally {
        closeAll(files);
      }
    },
  };
}

type Ran =
  | { readonly is: 'ended'; readonly exit: number | string; readonly stdout: string; readonly stderr: string }
  | { readonly is: 'not-started'; readonly code: string }
  | { readonly is: 'stopped'; readonly because: 'timeout' | 'aborted' | 'output' };

interface Process {
  readonly program: string;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly timeoutMs: number;
}

function run(process: Process, question: SignatureQuestion, files: number[], signal: AbortSignal): Promise<Ran> {
  return new Promise((resolve) => {
    const output = { stdout: '', stderr: '' };
    let stopped: 'timeout' | 'aborted' | 'output' | undefined;
    const ended = new AbortController();
    const child = spawn(process.program, argumentsFor(question), {
      stdio: ['pipe', 'pipe', 'pipe', ...files],
      env: reducedEnvironment(),
      windowsHide: true,
    });
    // The child has its own copies from here on, or will never have any.
    closeAll(files);
    const stop = (because: 'timeout' | 'aborted' | 'output'): void => {
      stopped ??= because;
      child.kill('SIGKILL');
    };
    const onAbort = (): void => stop('aborted');
    const finish = (ran: Ran): void => {
      signal.removeEventListener('abort', onAbort);
      ended.abort();
      resolve(ran);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    process.clock.sleep(process.timeoutMs, ended.signal).then(
      () => stop('timeout'),
      () => {},
    );
    for (const name of ['stdout', 'stderr'] as const)
      child[name]?.setEncoding('latin1').on('data', (chunk: string) => {
        output[name] += chunk;
        if (output[name].length > longestOutput) stop('output');
      });
    // A program that ends before it has read everything breaks the pipe; its exit code tells the story.
    child.stdin?.on('error', () => {});
    child.stdin?.end(question.payload);
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) finish({ is: 'not-started', code: error.code ?? error.message });
    });
    child.on('close', (code, killedBy) => {
      if (child.pid === undefined) return;
      finish(
        stopped === undefined
          ? { is: 'ended', exit: code ?? killedBy ?? 'nothing', ...output }
          : { is: 'stopped', because: stopped },
      );
    });
  });
}

/**
 * ssh-keygen(1): `-Y verify -f allowed_signers -I identity -n namespace -s signature [-r revocation_file]`. The
 * time is in UTC, which the environment says; a Z for it would need OpenSSH 9.1.
 */
function argumentsFor({ principal, namespace, at }: SignatureQuestion): string[] {
  const second = new Date(Math.min(Math.max(0, at), lastTime)).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '');
  const files = ['-s', '/dev/fd/3', '-f', '/dev/fd/4', '-r', '/dev/fd/5'];
  return ['-Y', 'verify', ...files, '-I', principal, '-n', namespace, `-Overify-time=${second}`];
}

/** No agent, no askpass, no locale: what the program sees is what is written here. */
function reducedEnvironment(): NodeJS.ProcessEnv {
  return { LC_ALL: 'C', TZ: 'UTC', PATH: process.env['PATH'] ?? '/usr/bin:/bin' };
}

/** The program ends with 255 both for a bad signature and for files it cannot use; only its words tell them apart. */
const troubleWithFiles =
  /unable to open|no such file|permission denied|allocat|out of memory|unknown option|verify-time/i;

function verdictOf(program: string, question: SignatureQuestion, ran: Ran): SignatureAnswer {
  if (ran.is === 'not-started')
    return noVerdict(question, 'trust.verifier-missing', `${program} did not start (${ran.code})`);
  if (ran.is === 'stopped') {
    if (ran.because === 'aborted') return noVerdict(question, 'pve.aborted', 'the agent stopped waiting');
    const what = ran.because === 'timeout' ? 'did not answer in time' : 'said more than it ever should';
    return noVerdict(question, 'trust.verifier-failed', `${program} ${what}`);
  }
  const { principal, namespace } = question;
  if (ran.exit === 0 && ran.stdout.startsWith(`Good "${namespace}" signature for ${principal} with `))
    return { is: 'valid' };
  const said = ran.stderr.replaceAll(/[^ -~]+/g, ' ').trim();
  if (ran.exit === 255 && ran.stdout.includes('Could not verify signature.') && !troubleWithFiles.test(said))
    return { is: 'invalid', text: said === '' ? 'it is not by that key, or the key may not sign' : said.slice(0, 300) };
  const told = said === '' ? '' : `: ${said.slice(-300)}`;
  return noVerdict(question, 'trust.verifier-failed', `${program} ended with ${String(ran.exit)}${told}`);
}

function noVerdict(question: SignatureQuestion, code: ErrorCode, why: string): SignatureAnswer {
  return { is: 'unknown', why: reason(code, `cannot verify the signature of ${question.principal}: ${why}`) };
}

function closeAll(files: number[]): void {
  for (const descriptor of files.splice(0)) closeSync(descriptor);
}
