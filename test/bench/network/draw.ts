// SPDX-License-Identifier: Apache-2.0
import { BarChart, CustomChart, type CustomSeriesOption } from 'echarts/charts';
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { Plot } from './plots.ts';

use([BarChart, CustomChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const SIZE = { width: 900, height: 380 } as const;
/** By alternative, so that one has the same colour in all plots. */
const COLOURS: Readonly<Record<string, string>> = {
  veth: '#bbbbbb',
  plain: '#888888',
  iptables: '#d98b3a',
  nftables: '#b5543c',
  cubeplane: '#2b6cb0',
  'cubeplane-direct': '#63a4dd',
};

/** A plot as SVG: the same text for the same plot. */
export function draw(plot: Plot): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...SIZE });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      title: { text: plot.title, left: 'center', textStyle: { fontSize: 15 } },
      legend: { bottom: 0, data: plot.series.map(({ name }) => name) },
      grid: { left: 70, right: 20, top: 50, bottom: 60 },
      xAxis: { type: 'category', data: [...plot.groups] },
      yAxis: { type: 'value', name: plot.unit, nameLocation: 'middle', nameGap: 52 },
      series: [
        ...plot.series.map(({ name, bars }) => ({
          type: 'bar' as const,
          name,
          barGap: '5%',
          itemStyle: { color: COLOURS[name] ?? '#000000' },
          data: bars.map((bar) => bar?.value ?? '-'),
        })),
        ...plot.series.map((series, index) => whiskers(series, index, plot.series.length)),
      ],
    });
    return `${withoutHover(chart.renderToSVGString())}\n`;
  } finally {
    // it keeps timers that hold up the end of the process
    chart.dispose();
  }
}

/** Without what a pointer would change: it has numbers in it that count all charts of the process, and an image has no pointer. */
function withoutHover(svg: string): string {
  return svg
    .replace(/<style\b[\s\S]*?<\/style>\n?/g, '')
    .replaceAll(/ (class|ecmeta_\w+|pointer-events)="[^"]*"/g, '');
}

/** The spread of each bar, as a line through its end. */
function whiskers({ bars }: Plot['series'][number], index: number, count: number): CustomSeriesOption {
  return {
    type: 'custom',
    silent: true,
    data: bars.flatMap((bar, group) =>
      bar === undefined ? [] : [[group, Math.max(0, bar.value - bar.spread), bar.value + bar.spread]],
    ),
    renderItem: (_, api) => {
      const layout = api.barLayout?.({ count, barGap: '5%' } as never)?.[index];
      const [x = 0, low = 0] = api.coord([api.value(0), api.value(1)]);
      const [, high = 0] = api.coord([api.value(0), api.value(2)]);
      const at = x + (layout?.offsetCenter ?? 0);
      return {
        type: 'line',
        shape: { x1: at, y1: low, x2: at, y2: high },
        style: { stroke: '#222222', lineWidth: 1.5 },
      };
    },
  };
}
