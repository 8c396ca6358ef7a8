/** The routes of alerts and the heartbeat, as configured. Secrets are named by their files, never written here. */
import { alertSeverity, routeName } from '@felhom/protocol';
import { z } from 'zod';

const loopbackNames = new Set(['localhost', '127.0.0.1', '[::1]', '::1']);

/** https anywhere, http on loopback only: what is sent names customers, and a token may travel with it. */
const safeUrl = z
  .string()
  .max(2000)
  .refine((text) => {
    const url = URL.parse(text);
    if (url === null || url.username !== '' || url.password !== '') return false;
    return url.protocol === 'https:' || (url.protocol === 'http:' && loopbackNames.has(url.hostname));
  }, 'must be an https URL without credentials; http on loopback only');
const file = z.string().min(1).max(1000);
const clock = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'must be HH:MM');
const timeZone = z.string().max(60).refine(isTimeZone, 'must be a time zone such as Europe/Budapest');
/** One mailbox, without anything that could end a line of a header. */
const mailbox = z.email().max(254);

export const quietHours = z
  .strictObject({ from: clock, to: clock, timeZone })
  .refine(({ from, to }) => from !== to, 'from and to must differ');
export type QuietHours = z.output<typeof quietHours>;

const everyRoute = {
  /** Told first are the routes of the lowest level; the next level when nobody acknowledged in time. */
  level: z.number().int().min(0).max(9).default(0),
  minSeverity: alertSeverity.default('warning'),
  quietHours: quietHours.optional(),
  /** Messages per hour; what is more goes out together, later. */
  perHour: z.number().int().min(1).max(1000).default(30),
  /** A message of its own after so long without any, so that a dead route is noticed. 0: never. */
  selfTestEveryHours: z.number().min(0).max(8760).default(168),
};

const webhook = z.strictObject({ ...everyRoute, type: z.literal('webhook'), url: safeUrl, secretFile: file });
const ntfy = z.strictObject({
  ...everyRoute,
  type: z.literal('ntfy'),
  url: safeUrl,
  topic: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'letters, digits, _ and -, at most 64'),
  tokenFile: file.optional(),
});
const smtp = z.strictObject({
  ...everyRoute,
  type: z.literal('smtp'),
  host: z.string().min(1).max(253),
  port: z.number().int().min(1).max(65_535),
  security: z.enum(['starttls', 'tls', 'none']),
  from: mailbox,
  to: z.array(mailbox).min(1).max(20),
  userFile: file.optional(),
  passwordFile: file.optional(),
  /** PEM of the CA of the mail server, where it is not a public one. */
  caFile: file.optional(),
});

export const route = z.discriminatedUnion('type', [webhook, ntfy, smtp]).superRefine((value, ctx) => {
  if (value.type !== 'smtp') return;
  if (value.security === 'none' && !loopbackNames.has(value.host))
    ctx.addIssue({ code: 'custom', path: ['security'], message: 'none is for loopback only' });
  if ((value.userFile === undefined) !== (value.passwordFile === undefined))
    ctx.addIssue({ code: 'custom', path: ['userFile'], message: 'userFile and passwordFile go together' });
});
export type Route = z.output<typeof route>;

export const alertSettings = z.strictObject({
  routes: z
    .record(routeName, route)
    .refine((routes) => Object.keys(routes).length <= 20, 'at most 20 routes')
    .default({}),
  /** Until an unacknowledged critical alert goes to the next level. */
  escalateAfterMinutes: z.number().min(1).max(1440).default(30),
  /** On top of three polls, before a host counts as silent. */
  slackSeconds: z.number().int().min(10).max(3600).default(60),
});
export type AlertSettings = z.output<typeof alertSettings>;

export const heartbeatSettings = z
  .strictObject({
    /** In a file, because the address of a heartbeat often is its secret. */
    url: safeUrl.optional(),
    urlFile: file.optional(),
    everySeconds: z.number().int().min(10).max(3600).default(60),
    method: z.enum(['GET', 'POST']).default('GET'),
  })
  .refine(({ url, urlFile }) => (url === undefined) !== (urlFile === undefined), 'give one of url and urlFile');
export type HeartbeatSettings = z.output<typeof heartbeatSettings>;

/** For an address that was read from a file. */
export function isSafeUrl(text: string): boolean {
  return safeUrl.safeParse(text).success;
}

/** Routes with their rank: 0 for the lowest level there is, and so on without gaps. */
export function rankedRoutes(settings: AlertSettings): {
  readonly routes: readonly { readonly name: string; readonly rank: number; readonly route: Route }[];
  readonly levels: number;
} {
  const levels = [...new Set(Object.values(settings.routes).map(({ level }) => level))].sort((a, b) => a - b);
  const routes = Object.entries(settings.routes).map(([name, one]) => ({
    name,
    rank: levels.indexOf(one.level),
    route: one,
  }));
  return { routes, levels: levels.length };
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    // A RangeError is the answer of Intl to a name that it does not know.
    return false;
  }
}
