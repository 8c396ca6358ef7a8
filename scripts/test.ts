/** `npm test`: the checks, then the worlds: agent, hub and fake node together. */
import { ensureSshKeygen } from '../packages/lab/src/stage/openssh.ts';
import { checkStages, node, runStages, tests } from './stages.ts';

const tool = ensureSshKeygen();
if (tool.is === 'missing') console.error(`test: ${tool.text}; tests with real signatures are skipped`);

/** Every saga, every step; of the points of slow stories a draw, which `npm run crash-matrix` alone completes. */
const matrix = (part: string): readonly string[] =>
  node('packages/lab/src/crash-matrix/main.ts', '--part', part, '--points', '0.4');

await runStages([
  ...checkStages,
  { name: 'world', command: tests('packages/*/src/**/*.world.test.ts') },
  { name: 'conformance', command: node('packages/lab/src/conformance/main.ts') },
  {
    beside: [
      { name: 'crash matrix, first half', command: matrix('1/2') },
      { name: 'crash matrix, second half', command: matrix('2/2') },
      {
        name: 'simulation',
        command: node('packages/lab/src/simulation/main.ts', '--seeds', '100', '--protected', '4'),
      },
    ],
  },
  { name: 'kill -9', command: node('packages/lab/src/chaos/main.ts', '--kills', '5') },
  { name: 'lab', command: node('packages/lab/src/main.ts', '--once') },
]);
