/** `npm test`: the checks, then the worlds: agent, hub and fake node together. */
import { ensureSshKeygen } from '../packages/lab/src/stage/openssh.ts';
import { checkStages, node, runStages } from './stages.ts';

const tool = ensureSshKeygen();
if (tool.is === 'missing') console.error(`test: ${tool.text}; tests with real signatures are skipped`);

runStages([
  ...checkStages,
  { name: 'world', command: node('--test', '--test-reporter=dot', 'packages/*/src/**/*.world.test.ts') },
  { name: 'conformance', command: node('packages/lab/src/conformance/main.ts') },
  { name: 'crash matrix', command: node('packages/lab/src/crash-matrix/main.ts') },
  { name: 'simulation', command: node('packages/lab/src/simulation/main.ts', '--seeds', '120') },
  { name: 'kill -9', command: node('packages/lab/src/chaos/main.ts', '--kills', '5') },
  { name: 'lab', command: node('packages/lab/src/main.ts', '--once') },
]);
