import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tunnelDeclaration } from '@felhom/protocol';
import { diffTunnel } from './tunnel.ts';

const tunnel = 'dfed0ead-79e1-41cf-82b8-88ca8148a577';
const rest = { service: 'http_status:404' };
const photos = { hostname: 'photos.example.org', service: 'http://192.168.1.50:80' };
const wiki = { hostname: 'wiki.example.org', service: 'http://192.168.1.51:8080' };
const of = (...ingress: readonly object[]) => tunnelDeclaration.parse({ tunnel, ingress: [...ingress, rest] });

test('the first one: all of it is new, and what was there by hand goes', () => {
  assert.deepEqual(diffTunnel(undefined, of(photos)), {
    loses: [],
    widens: [
      'new rule: photos.example.org → http://192.168.1.50:80',
      'new rule: * → http_status:404',
      'The tunnel may reach 192.168.1.50:80.',
    ],
    notes: ['The host reports no signed rules: what was written by hand there is replaced by these.'],
  });
});

test('a rule that comes and one that goes, each with its guest', () => {
  assert.deepEqual(diffTunnel(of(photos), of(wiki)), {
    loses: ['the rule photos.example.org → http://192.168.1.50:80', 'the way from the tunnel to 192.168.1.50:80'],
    widens: ['new rule: wiki.example.org → http://192.168.1.51:8080', 'The tunnel may reach 192.168.1.51:8080.'],
    notes: [],
  });
});

test('another way to a guest that it reaches already widens by the rule alone', () => {
  const { widens, loses } = diffTunnel(of(photos), of(photos, { ...photos, hostname: 'p.example.org', path: '/x' }));
  assert.deepEqual(widens, ['new rule: p.example.org/x → http://192.168.1.50:80']);
  assert.deepEqual(loses, []);
});

test('another order and another tunnel are told', () => {
  assert.match(diffTunnel(of(photos, wiki), of(wiki, photos)).notes.join(), /another order/);
  const other = { ...of(photos), tunnel: tunnel.replace('d', 'e') };
  assert.match(diffTunnel(of(photos), other).widens.join(), /another tunnel/);
  assert.deepEqual(diffTunnel(of(photos), of(photos)), { loses: [], widens: [], notes: [] });
});
