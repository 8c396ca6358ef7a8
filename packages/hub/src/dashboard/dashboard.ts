/**
 * GET /: one page that holds everything it needs. It may load nothing, run nothing but itself and talk to nobody but
 * this hub; the hashes in its policy are of exactly the text that is served.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';

/** In the order in which they need each other; together they are the one script of the page. */
const scripts = ['elements.js', 'authority.js', 'protection.js', 'host-state.js', 'alerts.js', 'page.js'];

export function addDashboard(app: FastifyInstance): void {
  const { html, policy } = composePage(read('page.html'), read('style.css'), scripts.map(read).join('\n'));
  app.get('/', async (_request, reply) =>
    reply
      .headers({
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': policy,
        'cache-control': 'no-cache',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'cross-origin-opener-policy': 'same-origin',
      })
      .send(html),
  );
}

/** Puts style and script into the page and derives the policy that allows just these. */
export function composePage(page: string, style: string, script: string): { html: string; policy: string } {
  // Replacer functions, because a replacement string would give "$&" in the script a meaning.
  const html = page
    .replace(/<style>[^<]*<\/style>/, () => `<style>${style}</style>`)
    .replace(/<script>[^<]*<\/script>/, () => `<script>${script}</script>`);
  const policy = [
    "default-src 'none'",
    `style-src '${hash(style)}'`,
    `script-src '${hash(script)}'`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { html, policy };
}

function hash(text: string): string {
  return `sha256-${createHash('sha256').update(text, 'utf8').digest('base64')}`;
}

function read(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8');
}
