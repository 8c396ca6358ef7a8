/**
 * `npm run attack -- [--only WORDS] [--list]`: a hub in the wrong hands, with everything that it knows and all that it
 * can say, against a real agent whose signatures the real `ssh-keygen` verifies. Ends with 0 only if nothing came of it.
 */
import { parseArgs } from 'node:util';
import { ensureSshKeygen } from '../stage/openssh.ts';
import { tricks } from './catalog.ts';
import { checkTheJudge } from './control.ts';
import { runTrick } from './run-trick.ts';
import { withFolder } from './folder.ts';

const { values } = parseArgs({
  options: { only: { type: 'string' }, list: { type: 'boolean', default: false } },
});
const { only } = values;
const chosen = only === undefined ? tricks : tricks.filter(({ name }) => name.includes(only));

if (values.list) for (const { name, gain } of chosen) console.log(`${name}\n    ${gain}`);
else process.exitCode = await attack();

async function attack(): Promise<number> {
  const tool = ensureSshKeygen();
  if (tool.is === 'missing') {
    console.error(`attack: ${tool.text}`);
    return 1;
  }
  if (chosen.length === 0) {
    console.error(`attack: no trick is called ${only}; see: npm run attack -- --list`);
    return 2;
  }
  return withFolder(async (folder) => {
    const wrong = await checkTheJudge(folder);
    if (wrong !== undefined) {
      console.error(`attack: nothing here can be believed: ${wrong}`);
      return 1;
    }
    console.log('two people removed a guest by signature, and the judge saw it; now without them:');
    let succeeded = 0;
    for (const trick of chosen) {
      const startedAt = performance.now();
      const { name, got, broken } = await runTrick(trick, folder);
      const took = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
      if (broken === undefined && got.length === 0) {
        console.log(`  failed     ${name}  (${took})`);
        continue;
      }
      succeeded += 1;
      console.log(broken === undefined ? `  SUCCEEDED  ${name}` : `  BROKEN     ${name}: ${broken}`);
      if (broken === undefined) console.log(`    it wants: ${trick.gain}`);
      for (const line of got) console.log(`    ${line}`);
    }
    console.log(`attack: ${chosen.length} tried, ${succeeded} succeeded`);
    return succeeded === 0 ? 0 : 1;
  });
}
