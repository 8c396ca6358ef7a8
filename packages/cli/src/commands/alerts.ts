/** `felhom alerts`, `alerts ack`, `alerts test`, `alerts snooze`, `alerts expect`. */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { alertAcked, alertList, alertTested, hostExpected, hostSnoozed, longestSnoozeHours } from '@felhom/protocol';
import type { AlertList, AlertView, RouteView } from '@felhom/protocol';
import { formatAge, formatDuration, printableLine, renderTable } from '@felhom/terminal';
import type { Style, Tone } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { exitCodes } from '../io.ts';

interface Json {
  readonly json?: boolean;
}

export function addAlerts(program: Command, context: CommandContext): void {
  const alerts = program
    .command('alerts')
    .description('show what is the matter, and how the routes of alerts are doing')
    .option('--json', 'print JSON')
    .action(async (options: Json) => {
      const list = await context.withHub((hub) => hub.ask(alertList, 'GET', '/v1/alerts'));
      context.print(options, list, () => renderAlerts(list, context.style));
    });
  alerts
    .command('ack')
    .description('say that somebody looks after an alert; it escalates no further')
    .argument('<alert>', 'its id, as felhom alerts shows it')
    .option('--json', 'print JSON')
    .action(async (id: string, _: Json, command: Command) => {
      const path = `/v1/alerts/${encodeURIComponent(id)}/ack`;
      const { alert } = await context.withHub((hub) => hub.ask(alertAcked, 'POST', path, {}));
      context.print(
        command.optsWithGlobals<Json>(),
        alert,
        () => `${printableLine(alert.title)}: ${renderAck(alert)}.\n`,
      );
    });
  alerts
    .command('test')
    .description('send a message over one route at once, past quiet hours')
    .argument('<route>')
    .option('--json', 'print JSON')
    .action(async (route: string, _: Json, command: Command) => {
      const tested = await context.withHub((hub) => hub.ask(alertTested, 'POST', '/v1/alerts/test', { route }));
      context.print(command.optsWithGlobals<Json>(), tested, () =>
        tested.is === 'delivered'
          ? `${route}: delivered as ${tested.delivery}. Look whether it arrived.\n`
          : `${context.style.paint('bad', `cannot deliver over ${route}: ${printableLine(tested.text)}`)}\n`,
      );
      if (tested.is === 'failed') context.exitWith(exitCodes.failed);
    });
  alerts
    .command('snooze')
    .description('open no alert about a host for a while, for example during planned work')
    .argument('<host>')
    .requiredOption('--hours <number>', `up to ${longestSnoozeHours}; 0 ends it`, numberBetween(0, longestSnoozeHours))
    .option('--json', 'print JSON')
    .action(async (host: string, { hours }: { readonly hours: number }, command: Command) => {
      const path = `/v1/hosts/${encodeURIComponent(host)}/snooze`;
      const snoozed = await context.withHub((hub) => hub.ask(hostSnoozed, 'POST', path, { hours }));
      context.print(command.optsWithGlobals<Json>(), snoozed, () =>
        snoozed.snoozedUntil === undefined
          ? `${host}: its alerts are on.\n`
          : `${host}: no alert opens until ${new Date(snoozed.snoozedUntil).toISOString()}.\n`,
      );
    });
  alerts
    .command('expect')
    .description('set how long a host may be silent, where that is longer than follows from the poll interval')
    .argument('<host>')
    .argument('<seconds>', 'from 60 on, or "default"', (text: string) =>
      text === 'default' ? null : numberBetween(60, 2_592_000)(text),
    )
    .option('--json', 'print JSON')
    .action(async (host: string, windowSeconds: number | null, _: Json, command: Command) => {
      const path = `/v1/hosts/${encodeURIComponent(host)}/expect`;
      const expected = await context.withHub((hub) => hub.ask(hostExpected, 'PUT', path, { windowSeconds }));
      context.print(command.optsWithGlobals<Json>(), expected, () =>
        expected.expectSeconds === undefined
          ? `${host}: its window follows from the poll interval.\n`
          : `${host}: silence of up to ${formatDuration(expected.expectSeconds * 1000)} is expected.\n`,
      );
    });
}

function numberBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`must be a number from ${least} to ${most}.`);
  };
}

const healthTones = { ok: 'good', untried: 'dim', degraded: 'warn', failing: 'bad' } as const satisfies Record<
  RouteView['health'],
  Tone
>;

/** Words of hosts and of other servers are made printable. */
export function renderAlerts(list: AlertList, style: Style): string {
  const { now } = list;
  const asleep = list.hosts.filter(({ snoozedUntil }) => snoozedUntil !== undefined);
  return [
    list.watchedAt === undefined
      ? style.paint('bad', 'The hub does not watch: its loop does not run.\n')
      : now - list.watchedAt > 60_000
        ? style.paint('bad', `The hub last looked ${formatAge(list.watchedAt, now)}: its loop is stuck.\n`)
        : '',
    list.open.length === 0
      ? 'Nothing is the matter.\n'
      : list.open.map((alert) => renderOpen(alert, now, style)).join('\n'),
    list.recent.length === 0
      ? ''
      : `Over:\n${renderTable(
          [{ title: 'ended' }, { title: 'lasted' }, { title: 'what' }],
          list.recent
            .slice(0, 10)
            .map((alert) => [
              formatAge(alert.closedAt, now),
              formatDuration((alert.closedAt ?? now) - alert.since),
              printableLine(alert.title),
            ]),
          style,
        )}`,
    renderRoutes(list, style),
    renderHeartbeat(list, style),
    asleep.length === 0
      ? ''
      : `Snoozed: ${asleep
          .map(({ hostId, snoozedUntil }) => `${hostId} (${formatDuration((snoozedUntil ?? now) - now)} left)`)
          .join(', ')}\n`,
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function renderOpen(alert: AlertView, now: number, style: Style): string {
  const tone = alert.severity === 'critical' ? 'bad' : 'warn';
  const contact = alert.lastContactAt === undefined ? '' : `, last contact ${formatAge(alert.lastContactAt, now)}`;
  return [
    `${style.paint(tone, alert.severity)} ${style.paint('strong', printableLine(alert.title))}`,
    `  since ${formatAge(alert.since, now)}${contact}; ${renderAck(alert)}`,
    `  ${printableLine(alert.text)}`,
    `  next: ${printableLine(alert.next)}`,
    '',
  ].join('\n');
}

function renderAck(alert: AlertView): string {
  return alert.ack === undefined
    ? `not acknowledged (felhom alerts ack ${alert.id})`
    : `acknowledged by ${printableLine(alert.ack.by)}`;
}

function renderRoutes({ routes, now }: AlertList, style: Style): string {
  if (routes.length === 0) return 'No route is configured: nobody is told. See docs/how-to/alerts.md\n';
  const count = (value: number, tone: Tone) => (value === 0 ? '-' : style.paint(tone, String(value)));
  return renderTable(
    [
      { title: 'route' },
      { title: 'kind' },
      { title: 'health' },
      { title: 'last success' },
      { title: 'waiting', align: 'right' },
      { title: 'held', align: 'right' },
      { title: 'lost', align: 'right' },
      { title: 'last failure' },
    ],
    routes.map((route) => [
      style.paint('strong', route.name),
      route.kind,
      style.paint(healthTones[route.health], route.health),
      formatAge(route.lastSuccessAt, now),
      count(route.waiting, 'warn'),
      count(route.held, 'note'),
      count(route.lost, 'bad'),
      route.lastFailure === undefined
        ? '-'
        : printableLine(`${formatAge(route.lastFailure.at, now)}: ${route.lastFailure.text}`),
    ]),
    style,
  );
}

function renderHeartbeat({ heartbeat, now }: AlertList, style: Style): string {
  if (heartbeat.is === 'off') return 'No heartbeat is configured: nobody notices when the hub itself is gone.\n';
  const { lastSuccessAt, lastFailure } = heartbeat;
  const late = lastSuccessAt === undefined || now - lastSuccessAt > heartbeat.everySeconds * 3000;
  const why = lastFailure === undefined || !late ? '' : `; ${printableLine(lastFailure.text)}`;
  return `Heartbeat of the hub: ${style.paint(late ? 'bad' : 'good', formatAge(lastSuccessAt, now))}${why}\n`;
}
