/** Runs the stages of a check one after the other, shows what each took, and stops at the first that fails. */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';

export interface Stage {
  readonly name: string;
  readonly command: readonly string[];
}

/** Stages that run at the same time, because each keeps one core busy for minutes. */
export interface Beside {
  readonly beside: readonly Stage[];
}

const root = resolve(import.meta.dirname, '..');

/** Each test file is a process that reads the same sources: what one of them has compiled, the next takes over. */
const compiled = { NODE_COMPILE_CACHE: resolve(root, 'node_modules/.cache/compiled') };

interface Ran {
  readonly ok: boolean;
  readonly seconds: string;
  /** What it said, where it was not shown at once. */
  readonly said: string;
}

/** Sets the exit code to 1 where a stage fails. */
export async function runStages(stages: readonly (Stage | Beside)[]): Promise<void> {
  for (const stage of stages) {
    const together = 'beside' in stage ? stage.beside : [stage];
    const held = together.length > 1;
    for (const { name, command } of together) console.log(`\n== ${name}: ${command.join(' ')}`);
    const ran = await Promise.all(together.map(async (one) => ({ name: one.name, ...(await run(one, held)) })));
    for (const { name, ok, seconds, said } of ran) {
      if (held) process.stdout.write(`\n== ${name}\n${said}`);
      if (ok) console.log(`== ${name} ok, ${seconds} s`);
      else console.error(`\n== ${name} FAILED after ${seconds} s`);
    }
    if (ran.some(({ ok }) => !ok)) {
      process.exitCode = 1;
      return;
    }
  }
  console.log('\nall stages passed');
}

function run({ name, command }: Stage, held: boolean): Promise<Ran> {
  const [program, ...args] = command;
  if (program === undefined) throw new Error(`stage ${name} has no command`);
  const start = performance.now();
  return new Promise((done) => {
    const child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, ...compiled },
      stdio: held ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    });
    let said = '';
    const end = (ok: boolean): void => done({ ok, said, seconds: ((performance.now() - start) / 1000).toFixed(1) });
    for (const out of [child.stdout, child.stderr])
      out?.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
    child.on('error', (error) => {
      if (held) said += `${error.message}\n`;
      else console.error(error.message);
      end(false);
    });
    child.on('close', (code) => end(code === 0));
  });
}

export const node = (...args: string[]): string[] => ['node', '--disable-warning=ExperimentalWarning', ...args];

/** A test file per core: unasked, the runner leaves one core to itself, and it has next to nothing to do. */
export const tests = (...files: string[]): string[] =>
  node('--test', '--test-reporter=dot', `--test-concurrency=${availableParallelism()}`, ...files);

/** Types, lint, walls, format, unit tests: what `npm run check` runs, and `npm test` first. */
export const checkStages: readonly Stage[] = [
  { name: 'types', command: ['tsc', '-p', '.'] },
  { name: 'lint', command: ['oxlint', '--type-aware', '--max-warnings=0', 'packages', 'scripts', 'bench'] },
  { name: 'walls', command: node('scripts/walls.ts') },
  { name: 'pictures', command: node('scripts/pictures.ts', '--check') },
  { name: 'format', command: ['prettier', '--check', '--log-level=warn', '.'] },
  {
    name: 'unit',
    command: tests('packages/*/src/**/!(*.world).test.ts', 'scripts/**/*.test.ts', 'bench/**/*.test.ts'),
  },
];
