/** `felhom desired show | diff | apply | resolve`, and `felhom plan`: nothing is sent before a person saw the diff. */
import type { Command } from 'commander';
import { backupPlan, desiredState } from '@felhom/protocol';
import type { DesiredAnswer, DesiredStateFile } from '@felhom/protocol';
import { formatAge } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { diffContent } from '../desired-diff.ts';
import type { DesiredContent } from '../desired-diff.ts';
import type { DesiredChange } from '../desired-diff.ts';
import { readDesiredFile, renderDesiredYaml } from '../desired-file.ts';
import type { HubClient } from '../hub-client.ts';
import { CliError, exitCodes } from '../io.ts';
import { renderDiff } from '../render-diff.ts';

interface Json {
  readonly json?: boolean;
}
interface ApplyOptions extends Json {
  readonly yes?: boolean;
  readonly startOver?: boolean;
}

export function addDesired(program: Command, context: CommandContext): void {
  const desired = program.command('desired').description('show, compare and change the desired state of a host');
  desired
    .command('show')
    .description('print the desired state as YAML, ready to be edited and applied')
    .argument('<host>')
    .option('--json', 'print JSON')
    .action(async (host: string, options: Json) => {
      const current = await context.withHub((hub) => hub.desired(host));
      if (current === undefined)
        throw new CliError(
          exitCodes.failed,
          'desired.none',
          `cannot show desired state of ${host}: the hub has none`,
          `felhom desired apply ${host} FILE puts the first one`,
        );
      context.print(options, { ...current, state: JSON.parse(current.text) as unknown }, () =>
        renderDesiredYaml(current.text),
      );
    });
  desired
    .command('diff')
    .description('compare a file with what the hub has')
    .argument('<host>')
    .argument('<file>', 'YAML or JSON; - for standard input')
    .option('--exit-code', `end with ${exitCodes.differs} when there are differences`)
    .option('--json', 'print JSON')
    .action(async (host: string, path: string, options: Json & { readonly exitCode?: boolean }) => {
      const file = await readDesiredFile(context.io, path);
      const { changes } = await context.withHub((hub) => compare(hub, host, file));
      context.print(options, { host, changes }, () => renderDiff(changes, context.style));
      if (options.exitCode === true && changes.length > 0) context.exitWith(exitCodes.differs);
    });
  desired
    .command('apply')
    .description('show the differences, ask, and make the file the next generation')
    .argument('<host>')
    .argument('<file>', 'YAML or JSON; - for standard input')
    .option('-y, --yes', 'do not ask')
    .option('--start-over', 'begin a new lineage: the host leaves the history it is in')
    .option('--json', 'print JSON')
    .action((host: string, path: string, options: ApplyOptions) => apply(context, host, path, options));
  desired
    .command('resolve')
    .description('when the hub is behind a host: choose whose desired state counts')
    .argument('<host>')
    .requiredOption('--keep <side>', 'agent: what the host holds; hub: what the hub has')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print JSON')
    .action((host: string, options: Json & { readonly keep: string; readonly yes?: boolean }) =>
      resolve(context, host, options),
    );
  program
    .command('plan')
    .description('what a file would do on a host, as far as the hub can tell; sends nothing')
    .argument('<host>')
    .argument('<file>', 'YAML or JSON; - for standard input')
    .option('--json', 'print JSON')
    .action((host: string, path: string, options: Json) => plan(context, host, path, options));
}

interface Comparison {
  readonly current: DesiredAnswer | undefined;
  readonly changes: readonly DesiredChange[];
}

/** Refuses a file that says it was edited from another document than the current one. */
async function compare(hub: HubClient, host: string, file: DesiredStateFile): Promise<Comparison> {
  const current = await hub.desired(host);
  const stale =
    (file.generation !== undefined && file.generation !== current?.generation) ||
    (file.lineage !== undefined && file.lineage !== current?.lineage);
  if (stale)
    throw new CliError(
      exitCodes.conflict,
      'desired.conflict',
      `cannot use this file for ${host}: it was made from generation ${file.generation ?? '?'}, the hub has ${current?.generation ?? 'none'}`,
      `look at felhom desired show ${host}, or take lineage and generation out of the file to replace whatever is there`,
    );
  return { current, changes: diffContent(contentOf(current?.text), file) };
}

function contentOf(text: string | undefined): DesiredContent {
  return text === undefined ? { guests: [], backups: backupPlan.parse({}) } : desiredState.parse(JSON.parse(text));
}

async function apply(context: CommandContext, host: string, path: string, options: ApplyOptions): Promise<void> {
  const file = await readDesiredFile(context.io, path);
  await context.withHub(async (hub) => {
    const { current, changes } = await compare(hub, host, file);
    const startOver = options.startOver === true;
    if (changes.length === 0 && current !== undefined && !startOver) {
      context.print(options, { host, applied: false, generation: current.generation, changes }, () => {
        return `No differences: ${host} stays at generation ${current.generation}.\n`;
      });
      return;
    }
    if (options.json !== true) context.io.stdout.write(renderDiff(changes, context.style));
    if (startOver) context.io.stderr.write(`${host} leaves its lineage: generations begin at 1 again.\n`);
    await confirm(context, options, `Make this the desired state of ${host}? [y/N] `);
    const base = current === undefined ? null : { lineage: current.lineage, generation: current.generation };
    const put = await hub.putDesired(host, { base, guests: file.guests, backups: file.backups, startOver });
    context.print(options, { host, applied: true, ...put, changes }, () => {
      return `${host} is at generation ${put.generation}; its agent takes it with the next poll (felhom status ${host}).\n`;
    });
  });
}

async function confirm(
  context: CommandContext,
  options: { readonly yes?: boolean | undefined },
  question: string,
): Promise<void> {
  if (options.yes === true) return;
  const answer = await context.io.ask(question, { hidden: false });
  if (answer === undefined)
    throw new CliError(
      exitCodes.usage,
      'confirm.no-terminal',
      'cannot ask for confirmation: there is no terminal',
      'use --yes once you have seen the differences; nothing was sent',
    );
  if (!/^y(?:es)?$/i.test(answer.trim()))
    throw new CliError(exitCodes.failed, 'confirm.declined', 'cannot go on: it was declined; nothing was sent');
}

async function resolve(
  context: CommandContext,
  host: string,
  options: Json & { readonly keep: string; readonly yes?: boolean },
): Promise<void> {
  const { keep } = options;
  if (keep !== 'agent' && keep !== 'hub')
    throw new CliError(exitCodes.usage, 'usage', `cannot keep ${JSON.stringify(keep)}: choose agent or hub`);
  await context.withHub(async (hub) => {
    const { stale } = (await hub.host(host)).host;
    if (stale === undefined)
      throw new CliError(
        exitCodes.failed,
        'host.not-stale',
        `cannot resolve ${host}: the hub is not behind this host`,
        `felhom status ${host} shows how it stands`,
      );
    const ofHub = contentOf((await hub.desired(host))?.text);
    const ofAgent = await heldContent(hub, host, keep);
    const changes = ofAgent === undefined ? [] : diffContent(ofAgent, ofHub);
    if (options.json !== true)
      context.io.stdout.write(
        ofAgent === undefined
          ? `What ${host} holds cannot be read here, so there is no diff.\n`
          : `From what ${host} holds (generation ${stale.generation}) to what the hub has:\n${renderDiff(changes, context.style)}`,
      );
    await confirm(context, options, `Keep the copy of the ${keep}? [y/N] `);
    const put = await hub.resolve(host, keep, stale.generation);
    context.print(options, { host, keep, ...put, changes }, () => {
      return `${host} is at generation ${put.generation}, with the guests of the ${keep}.\n`;
    });
  });
}

/** The copy of the hub can be kept even where that of the agent cannot be read. */
async function heldContent(hub: HubClient, host: string, keep: 'agent' | 'hub'): Promise<DesiredContent | undefined> {
  try {
    return await hub.held(host);
  } catch (error) {
    if (keep === 'hub' && error instanceof CliError && error.code.startsWith('host.held-')) return undefined;
    throw error;
  }
}

async function plan(context: CommandContext, host: string, path: string, options: Json): Promise<void> {
  const file = await readDesiredFile(context.io, path);
  const { changes, detail, now } = await context.withHub(async (hub) => {
    const { changes } = await compare(hub, host, file);
    const { now, host: detail } = await hub.host(host);
    return { changes, detail, now };
  });
  const busy = detail.sagas + detail.parked;
  context.print(options, { host, changes, state: detail.state, lastContactAt: detail.lastContactAt }, () =>
    [
      renderDiff(changes, context.style),
      `The host is ${detail.state}, last contact ${formatAge(detail.lastContactAt, now)}.\n`,
      busy > 0 ? `It has ${detail.sagas} tasks running and ${detail.parked} parked; those come first.\n` : '',
      'A preview from what the hub knows: the gate on the host decides over what it finds there (felhom-agent plan).\n',
    ].join(''),
  );
}
