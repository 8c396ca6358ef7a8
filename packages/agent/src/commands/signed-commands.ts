/**
 * The commands around signatures on the host itself: what an operator without a hub carries back and forth, the audit
 * log, and what customers consented to.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { Argument } from 'commander';
import type { Command } from 'commander';
import { formatAge, printableLine, renderTable } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import { auditEntry } from '@felhom/protocol';
import type { AdminRoutes } from '../admin-socket/server.ts';
import type { Agent } from '../agent-parts.ts';

export interface SignedContext {
  readonly print: (text: string) => void;
  /** Prints it and makes the exit code 1. */
  readonly fail: (text: string) => void;
  readonly style: Style;
  readonly now: () => number;
  /** Asks the running agent; `undefined` after it has printed why not. */
  readonly ask: (route: keyof AdminRoutes, query?: string, body?: string) => Promise<unknown>;
}

export function addSignedCommands(program: Command, context: SignedContext): void {
  program
    .command('challenge')
    .description('write what an operator without a hub needs to sign a job: felhom … --from FILE')
    .argument('<file>')
    .action(async (file: string) => {
      const answer = await context.ask('GET /v1/statement');
      if (answer === undefined) return;
      try {
        writeFileSync(file, `${JSON.stringify(answer, null, 2)}\n`, { mode: 0o644 });
      } catch (error) {
        return context.fail(`cannot write ${file}: ${(error as Error).message}`);
      }
      context.print(`${file}: good for signing within the hour\n`);
    });
  program
    .command('job')
    .description('signed jobs from files')
    .command('submit')
    .description('hand a signed job to the running agent')
    .argument('<file>')
    .action(async (file: string) => {
      const text = read(file);
      if (text === undefined) return context.fail(`cannot read ${file}`);
      if ((await context.ask('POST /v1/envelope', '', text.trim())) !== undefined)
        context.print('taken; felhom-agent status says what becomes of it\n');
    });
  program
    .command('audit')
    .description('the audit log of this host, oldest first')
    .option('--from <n>', 'number of the first entry', '1')
    .option('--text', 'the exact texts, one per line, for felhom audit verify --file')
    .action(async (options: { readonly from: string; readonly text?: boolean }) => {
      const found: string[] = [];
      for (let from = Number(options.from); ;) {
        const answer = (await context.ask('GET /v1/audit', `?from=${encodeURIComponent(String(from))}`)) as
          ReturnType<Agent['auditFrom']> | undefined;
        if (answer === undefined) return;
        found.push(...answer.entries);
        if (answer.entries.length < 1000) break;
        from += answer.entries.length;
      }
      context.print(options.text === true ? found.map((line) => `${line}\n`).join('') : renderAudit(found, context));
    });
  program
    .command('break-glass')
    .description('close the second tunnel before its time')
    .addArgument(new Argument('<what>').choices(['close']))
    .action(async () => {
      const answer = (await context.ask('POST /v1/break-glass-close')) as
        { readonly why?: { readonly text: string } } | undefined;
      if (answer === undefined) return;
      if (answer.why !== undefined) return context.fail(answer.why.text);
      context.print('it is being closed; felhom-agent status says when it is\n');
    });
  program
    .command('consent')
    .description('what customers said about break-glass, as they told the operator')
    .addArgument(new Argument('<what>').choices(['list', 'grant', 'withdraw']))
    .argument('[guest]')
    .action(async (what: string, guest: string | undefined) => {
      if (what === 'list') {
        const answer = (await context.ask('GET /v1/consents')) as ReturnType<Agent['consents']> | undefined;
        if (answer !== undefined) context.print(renderConsents(answer, context));
        return;
      }
      if (guest === undefined) return context.fail(`cannot ${what} consent: name the guest`);
      const query = `?guest=${encodeURIComponent(guest)}&given=${what === 'grant'}`;
      const answer = (await context.ask('POST /v1/consent', query)) as
        { readonly why?: { readonly text: string } } | undefined;
      if (answer === undefined) return;
      if (answer.why !== undefined) return context.fail(answer.why.text);
      context.print(
        `${guest}: consent ${what === 'grant' ? 'granted' : 'withdrawn'}, in the audit log as root's word\n`,
      );
    });
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function renderAudit(texts: readonly string[], { style, now }: SignedContext): string {
  if (texts.length === 0) return 'Nothing is in the audit log yet.\n';
  return renderTable(
    [{ title: 'no.', align: 'right' }, { title: 'when' }, { title: 'what' }, { title: '' }],
    texts.flatMap((text) => {
      const entry = auditEntry.safeParse(JSON.parse(text)).data;
      if (entry === undefined) return [];
      return [[String(entry.seq), formatAge(entry.at, now()), entry.kind, printableLine(entry.text)]];
    }),
    style,
  );
}

function renderConsents(consents: ReturnType<Agent['consents']>, { style, now }: SignedContext): string {
  if (consents.length === 0) return 'No guests are on record.\n';
  return renderTable(
    [{ title: 'guest' }, { title: 'consent' }, { title: 'id' }],
    consents.map(({ guest, id, at }) => [guest, at === undefined ? 'none' : formatAge(at, now()), id ?? '-']),
    style,
  );
}
