/**
 * `npm run attack -- [--only WORDS] [--list]`: a hub in the wrong hands, with everything that it knows and all that it
 * can say, against a real agent; the real `ssh-keygen` verifies where signatures are what it is about. Ends with 0 only if nothing came of it.
 */
import { parseArgs } from 'node:util';
import { ensureSshKeygen } from '../stage/openssh.ts';
import { tricks } from './catalog.ts';
import { checkTheJudge } from './control.ts';
import { withFolder } from './folder.ts';
import { placesOf, playAll } from './play-all.ts';
import { isBad } from './run-trick.ts';
import type { Verdict } from './run-trick.ts';

const { values } = parseArgs({
  options: { only: { type: 'string' }, list: { type: 'boolean', default: false } },
});
const chosen = placesOf(values.only);

if (values.list) for (const at of chosen) console.log(`${tricks[at]?.name}\n    ${tricks[at]?.gain}`);
else process.exitCode = await attack();

async function attack(): Promise<number> {
  const tool = ensureSshKeygen();
  if (tool.is === 'missing') {
    console.error(`attack: ${tool.text}`);
    return 1;
  }
  if (chosen.length === 0) {
    console.error(`attack: no trick is called ${values.only}; see: npm run attack -- --list`);
    return 2;
  }
  return withFolder(async (folder) => {
    const wrong = await checkTheJudge(folder);
    if (wrong !== undefined) {
      console.error(`attack: nothing here can be believed: ${wrong}`);
      return 1;
    }
    console.log('two people removed a guest by signature, and the judge saw it; now without them:');
    const startedAt = performance.now();
    const verdicts = await playAll(chosen, folder, tell);
    console.log(`took ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
    const succeeded = verdicts.filter(isBad).length;
    console.log(`attack: ${verdicts.length} tried, ${succeeded} succeeded`);
    return succeeded === 0 ? 0 : 1;
  });
}

function tell(verdict: Verdict): void {
  const { name, gain, got, broken } = verdict;
  if (!isBad(verdict)) return console.log(`  failed     ${name}`);
  console.log(broken === undefined ? `  SUCCEEDED  ${name}` : `  BROKEN     ${name}: ${broken}`);
  if (broken === undefined) console.log(`    it wants: ${gain}`);
  for (const line of got) console.log(`    ${line}`);
}
