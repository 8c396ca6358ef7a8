/** What a person can do to the lab once it stands. Every choice is done for real, told, and watched until it settles. */
import { createInterface } from 'node:readline/promises';
import { renderTable } from '@felhom/terminal';
import { agentLog, restoring, vmidOf } from '../scenarios/scenario.ts';
import type { Scene } from '../scenarios/scenario.ts';
import { labGuest } from '../world/desired.ts';
import type { LabGuest } from '../world/desired.ts';

interface Experiment {
  readonly key: string;
  readonly title: string;
  readonly run: (lab: Scene) => Promise<void>;
}

const subject = 'web';
const configOf = ({ stage }: Scene): string => stage.pve.host.rawConfig(vmidOf(stage, subject)) ?? '';
const pathOf = ({ stage }: Scene): string => `/nodes/${stage.pve.node.name}/lxc/${vmidOf(stage, subject)}`;

async function want(lab: Scene, guests: readonly LabGuest[]): Promise<void> {
  await lab.apply(guests);
  lab.tell.note('the agent polls every ten seconds or so');
}

const experiments: readonly Experiment[] = [
  {
    key: '1',
    title: `lower the memory of ${subject} by hand on the node, and see it healed`,
    run: async (lab) => {
      await lab.byHand('PUT', `${pathOf(lab)}/config`, { memory: 128 });
      lab.tell.step(`${subject} has 128 MiB now.`);
      await lab.expect('the agent gave the memory back', () => !/^memory: 128$/m.test(configOf(lab)));
    },
  },
  {
    key: '2',
    title: `raise it by hand, and see that nobody takes it away unasked`,
    run: async (lab) => {
      await lab.byHand('PUT', `${pathOf(lab)}/config`, { memory: 4096 });
      lab.tell.step(`${subject} has 4096 MiB now.`);
      const { blocked } = await lab.expect('taking it away is blocked until it is signed', (report) =>
        report.blocked.some(({ document }) => document.verb === 'memory-down'),
      );
      for (const { digest, text } of blocked) lab.tell.note(`${digest.slice(0, 16)}…  ${text}`);
    },
  },
  {
    key: '3',
    title: `edit the description of ${subject}, below the marker`,
    run: async (lab) => {
      const before = configOf(lab);
      const notes = [...before.matchAll(/^#(.*)$/gm)].map((match) => decodeURIComponent(match[1] ?? '')).join('\n');
      await lab.byHand('PUT', `${pathOf(lab)}/config`, {
        description: `${notes.trim()}\nAsk Anna before touching this.`,
      });
      lab.tell.step('There is a note in the description now.');
      await lab.expect('the agent has seen that somebody edited the config', (report) =>
        report.findings.some(({ key }) => key === 'guest.config-edited'),
      );
    },
  },
  {
    key: '4',
    title: 'ask for one more guest, and kill -9 the agent in the middle of its restore',
    run: async (lab) => {
      const name = `shop${lab.wanted().length}`;
      await want(lab, [...lab.wanted(), labGuest(name)]);
      await lab.expect(`${name} is being restored`, () => restoring(lab.stage).length > 0);
      const pid = lab.stage.agent.pid();
      await lab.stage.agent.kill('SIGKILL');
      lab.tell.step(`kill -9 ${pid}. The restore goes on without it. The agent starts again.`);
      lab.stage.agent.start();
      await lab.expect(`${name} runs, one of it`, (report) =>
        report.guests.some((guest) => guest.name === name && guest.status === 'running' && vmidOf(lab.stage, name) > 0),
      );
    },
  },
  {
    key: '5',
    title: `stop ${subject} as a person on the node`,
    run: async (lab) => {
      await lab.byHand('POST', `${pathOf(lab)}/status/stop`, {});
      await lab.expect('it is left stopped for ten minutes: a person had a reason', (report) =>
        report.guests.some(({ name, status }) => name === subject && status === 'stopped'),
      );
    },
  },
  {
    key: '6',
    title: 'drop the last guest from desired state, and see that nothing is removed',
    run: async (lab) => {
      const gone = lab.wanted().at(-1);
      if (gone === undefined || gone.name === subject)
        return lab.tell.note('only web is left; ask for one more first (4)');
      await want(lab, lab.wanted().slice(0, -1));
      const { blocked } = await lab.expect(`${gone.name} stays; its removal waits for a signature`, (report) =>
        report.blocked.some(({ document }) => document.verb === 'guest-remove'),
      );
      for (const { digest, text } of blocked) lab.tell.note(`${digest.slice(0, 16)}…  ${text}`);
    },
  },
  {
    key: '7',
    title: 'take the hub away, and bring it back',
    run: async (lab) => {
      await lab.stage.hub.goAway();
      lab.tell.step('The hub refuses connections. The agent finds out at its next poll.');
      await lab.expect('the agent says so, and goes on with the state that it holds', (report) =>
        report.findings.some(({ key }) => key === 'hub.unreachable'),
      );
      await lab.stage.hub.comeBack();
      lab.tell.step('The hub is back. The agent asks again after 10 to 20 s.');
      await lab.expect('the agent has reached it', (report) =>
        report.findings.every(({ key }) => key !== 'hub.unreachable'),
      );
    },
  },
  { key: 's', title: 'felhom status lab', run: async ({ show }) => show(['status', 'lab']) },
  {
    key: 'g',
    title: 'felhom-agent journal: the sagas so far',
    run: async ({ stage, tell }) => tell.output('felhom-agent journal', (await stage.agentCommand(['journal'])).out),
  },
  {
    key: 'l',
    title: 'the last lines of the log of the agent',
    run: async ({ stage, tell }) => {
      tell.output(`tail ${stage.place.agentLog}`, agentLog(stage).trimEnd().split('\n').slice(-12).join('\n'));
    },
  },
  { key: 'd', title: 'a link to the dashboard', run: async (lab) => showLink(lab) },
];

export async function showLink({ stage, tell }: Pick<Scene, 'stage' | 'tell'>): Promise<void> {
  tell.step('The dashboard of the hub, for reading, until the lab ends:');
  tell.note(await stage.hub.dashboardLink());
}

/** Until the person quits. An experiment that does not end as told says so, and the lab goes on. */
export async function offerExperiments(lab: Scene): Promise<void> {
  const { tell } = lab;
  await showLink(lab);
  const menu = renderTable(
    [{ title: '' }, { title: 'what to try' }],
    [
      ...experiments.map(({ key, title }) => [tell.style.paint('note', key), title]),
      [tell.style.paint('note', 'q'), 'quit'],
    ],
    tell.style,
  );
  process.stdout.write(`\n${menu}`);
  for (;;) {
    const answer = await ask('\nTry (? for the list) > ');
    if (answer === undefined || answer === 'q') return;
    const chosen = experiments.find(({ key }) => key === answer);
    if (chosen === undefined) process.stdout.write(menu);
    else
      await chosen.run(lab).catch((error: unknown) => {
        tell.settle();
        tell.note(tell.style.paint('bad', error instanceof Error ? error.message : String(error)));
      });
  }
}

/** `undefined` at the end of input. */
async function ask(question: string): Promise<string | undefined> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  // Readline takes Ctrl-C for itself; here it means what it always means.
  terminal.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const closed = new Promise<undefined>((resolve) => terminal.once('close', () => resolve(undefined)));
  const answer = await Promise.race([terminal.question(question), closed]);
  terminal.close();
  return answer?.trim();
}
