/** Runs the stages of a check one after the other, shows what each took, and stops at the first that fails. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

export interface Stage {
  readonly name: string;
  readonly command: readonly string[];
}

const root = resolve(import.meta.dirname, '..');

export function runStages(stages: readonly Stage[]): never {
  for (const stage of stages) {
    const [program, ...args] = stage.command;
    if (program === undefined) throw new Error(`stage ${stage.name} has no command`);
    console.log(`\n== ${stage.name}: ${stage.command.join(' ')}`);
    const start = performance.now();
    const run = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    if (run.error !== undefined || run.status !== 0) {
      console.error(`\n== ${stage.name} FAILED after ${seconds} s`);
      process.exit(1);
    }
    console.log(`== ${stage.name} ok, ${seconds} s`);
  }
  console.log('\nall stages passed');
  process.exit(0);
}

export const node = (...args: string[]): string[] => ['node', '--disable-warning=ExperimentalWarning', ...args];

/** Types, lint, walls, format, unit tests: what `npm run check` runs, and `npm test` first. */
export const checkStages: readonly Stage[] = [
  { name: 'types', command: ['tsc', '-p', '.'] },
  { name: 'lint', command: ['oxlint', '--type-aware', '--max-warnings=0', 'packages', 'scripts', 'bench'] },
  { name: 'walls', command: node('scripts/walls.ts') },
  { name: 'pictures', command: node('scripts/pictures.ts', '--check') },
  { name: 'format', command: ['prettier', '--check', '--log-level=warn', '.'] },
  {
    name: 'unit',
    command: node(
      '--test',
      '--test-reporter=dot',
      'packages/*/src/**/!(*.world).test.ts',
      'scripts/**/*.test.ts',
      'bench/**/*.test.ts',
    ),
  },
];
