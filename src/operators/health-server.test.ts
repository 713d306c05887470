// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import { metricsText } from './health-server.ts';

describe('metrics', () => {
  it('are Prometheus text: help, type and one line a label', () => {
    const text = metricsText({
      synced: true,
      leading: true,
      applies: 7,
      eventsDropped: 0,
      queues: { tables: { waiting: 1, running: 2, done: 30, failed: 4, failing: 1 } },
      reflectors: [
        {
          type: 'services',
          state: 'Watching',
          synced: true,
          objects: 12,
          lists: 1,
          watches: 2,
          events: 3,
          silent: 0,
          failures: 0,
          lastHeardMs: 1,
        },
      ],
    });
    expect(text).toContain(
      '# HELP cubeplane_operator_applies_total Server-side applies sent.\n# TYPE cubeplane_operator_applies_total counter\ncubeplane_operator_applies_total 7\n',
    );
    expect(text).toContain('cubeplane_cache_objects{resource="services"} 12\n');
    expect(text).toContain('cubeplane_queue_failed_total{queue="tables"} 4\n');
    for (const line of text.trimEnd().split('\n')) {
      expect(line).toMatch(/^(# (HELP|TYPE) cubeplane_\w+ .+|cubeplane_\w+(\{\w+="[^"]*"\})? \d+)$/);
    }
  });
});
