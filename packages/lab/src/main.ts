/**
 * `npm run lab`: a fake Proxmox node, a hub and a real agent process on this machine's loopback, and stories with them.
 * Without arguments at a terminal it stays for experiments; `--once` ends when the story has ended.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { renderFacts, renderTable } from '@felhom/terminal';
import { scenarios } from './scenarios/index.ts';
import { createScene, NotAsTold } from './scenarios/scenario.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { offerExperiments } from './stage/experiments.ts';
import { labRoot } from './stage/place.ts';
import { ensureSshKeygen } from './stage/openssh.ts';
import { NotReached, openStage } from './stage/stage.ts';
import type { Stage } from './stage/stage.ts';
import { createTelling } from './stage/telling.ts';
import type { Telling } from './stage/telling.ts';

const usage = `usage: npm run lab -- [--scenario NAME] [--once] [--json] [--folder DIR]
       npm run lab -- --all | --list

  --scenario NAME  which story to play; provision unless told
  --once           end after it, with 0 only if it ended as told
  --json           one JSON document per story instead of words; implies --once
  --folder DIR     where everything lies; .lab/NAME unless told, emptied at the start
  --all            every story, one after the other; ends with 0 only if all ended as told
  --list           the stories
`;

const exits = { asTold: 0, notAsTold: 1, usage: 2, interrupted: 130 } as const;

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      scenario: { type: 'string', default: 'provision' },
      once: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      folder: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const silent = { write: () => true };
  const tell = createTelling({
    out: values.json ? silent : process.stdout,
    env: process.env,
    now: () => Date.now(),
  });
  if (values.help) {
    process.stdout.write(usage);
    return exits.asTold;
  }
  if (values.list) {
    const rows = scenarios.map(({ name, about }) => [name, about]);
    process.stdout.write(renderTable([{ title: 'scenario' }, { title: 'what happens' }], rows, tell.style));
    return exits.asTold;
  }
  const chosen = values.all ? scenarios : scenarios.filter(({ name }) => name === values.scenario);
  if (chosen.length === 0 || (values.all && values.folder !== undefined)) {
    process.stderr.write(
      values.all
        ? 'lab: --all takes a folder for each story; leave --folder out\n'
        : `lab: there is no scenario ${values.scenario}; see: npm run lab -- --list\n`,
    );
    return exits.usage;
  }
  const tool = chosen.some(({ stage }) => stage.signed === true) ? ensureSshKeygen() : undefined;
  if (tool?.is === 'missing') process.stderr.write(`lab: ${tool.text}\n`);
  const playable = chosen.filter(({ stage }) => stage.signed !== true || tool?.is === 'there');
  for (const { name } of chosen)
    if (!playable.some((one) => one.name === name)) process.stderr.write(`lab: ${name} is left out\n`);
  const stays = !values.once && !values.json && !values.all && process.stdout.isTTY && process.stdin.isTTY;
  const results: { readonly name: string; readonly seconds: number; readonly why: string | undefined }[] = [];
  for (const scenario of playable) {
    const folder = values.folder ?? join(labRoot, scenario.name);
    const startedAt = Date.now();
    const why = await playOn(folder, scenario, tell, stays);
    const seconds = Number(((Date.now() - startedAt) / 1000).toFixed(1));
    results.push({ name: scenario.name, seconds, why });
    if (values.json)
      process.stdout.write(
        `${JSON.stringify({ scenario: scenario.name, asTold: why === undefined, seconds, why, folder })}\n`,
      );
    if (why === undefined) tell.title(`${scenario.name}: ended as told, ${seconds} s`);
    else process.stderr.write(`\nlab: ${scenario.name} did not end as told: ${why}\nEverything is kept in ${folder}\n`);
  }
  const failed = results.filter(({ why }) => why !== undefined);
  if (values.all) {
    const sum = results.reduce((total, { seconds }) => total + seconds, 0).toFixed(0);
    tell.title(`${results.length} stories, ${results.length - failed.length} ended as told, ${sum} s`);
  }
  return failed.length === 0 ? exits.asTold : exits.notAsTold;
}

/** Answers why it did not end as told. */
async function playOn(folder: string, scenario: Scenario, tell: Telling, stays: boolean): Promise<string | undefined> {
  tell.title(`Felhom lab: ${scenario.name}`);
  tell.note(scenario.about);
  const stage = await openStage({ folder, ...scenario.stage });
  const stopListening = endOnSignals(stage, tell);
  try {
    introduce(stage, tell);
    const scene = createScene(stage, tell);
    await scenario.play(scene);
    if (stays && (await stage.report())?.guests.some(({ name }) => name === 'web') === true)
      await offerExperiments(scene);
    return undefined;
  } catch (error) {
    tell.settle();
    if (error instanceof NotAsTold || error instanceof NotReached) return error.message;
    throw error;
  } finally {
    stopListening();
    await stage.close();
  }
}

function introduce(stage: Stage, tell: Telling): void {
  const facts = renderFacts(
    [
      ['node', `${stage.server.url}  a fake Proxmox VE node, real files in ${stage.place.disk}`],
      ['hub', `${stage.hub.url}  the real hub, its database in ${stage.place.folder}`],
      ['agent', `a real process with ${stage.place.agentConfig}; log in ${stage.place.agentLog}`],
    ],
    tell.style,
  );
  tell.step('The stage is set, all of it on loopback:');
  for (const fact of facts.trimEnd().split('\n')) tell.note(fact);
}

/** Ctrl-C ends everything that was started; pressing it again changes nothing. */
function endOnSignals(stage: Stage, tell: Telling): () => void {
  let ending = false;
  const end = (): void => {
    if (ending) return;
    ending = true;
    tell.settle();
    process.stdout.write('\nlab: stopping ...\n');
    stage.close().then(
      () => {
        process.stdout.write('lab: stopped; nothing runs on\n');
        process.exit(exits.interrupted);
      },
      (error: unknown) => {
        process.stderr.write(`lab: cannot stop: ${error instanceof Error ? error.message : String(error)}\n`);
        process.exit(exits.notAsTold);
      },
    );
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, end);
  return () => {
    for (const signal of signals) process.off(signal, end);
  };
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
    process.stderr.write(`lab: ${error.message}\n${usage}`);
    process.exitCode = exits.usage;
  } else throw error;
}
