// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.CliTests.Tables;

sealed class TableTests
{
    static readonly string[] Header = ["ID", "CONTAINER", "STATE"];

    [Test]
    public void Columns_are_spaced_as_dockers() =>
        Assert.That(
            Table.Lines(
                Header,
                [
                    ["0123456", "a", "ok"],
                    ["01234567890", "日本", "over"],
                ]
            ),
            Is.EqualTo([
                "ID            CONTAINER   STATE",
                "0123456       a           ok",
                "01234567890   日本        over",
            ])
        );

    [Test]
    public void Without_rows_there_is_the_header() =>
        Assert.That(Table.Lines(Header, []), Is.EqualTo(["ID        CONTAINER   STATE"]));

    [TestCase(true, "ID        \e[31mno-gpu\e[0m      ok")]
    [TestCase(false, "ID        no-gpu      ok")]
    public void Colours_take_no_columns(bool hasColours, string line) =>
        Assert.That(
            Table.Lines(
                Header,
                [
                    ["ID", Cell.OfState("no-gpu"), Cell.OfState("ok")],
                ],
                hasColours
            )[1],
            Is.EqualTo(line)
        );

    [TestCase("a\u001b[2J\n\nb\r", "a\\u001b[2J\n\nb\\u000d")]
    public void A_message_keeps_its_lines_and_nothing_else(string text, string shown) =>
        Assert.That(Printable.Lines(text), Is.EqualTo(shown));

    [TestCase(null, "-")]
    [TestCase("", "-")]
    [TestCase("web", "web")]
    [TestCase("a\e[2J\nb", "a\\u001b[2J\\u000ab")]
    [TestCase("a\u202eb\u200b", "a\\u202eb\\u200b", Description = "right to left, and nothing to see")]
    [TestCase("e\u0301", "e\\u0301", Description = "a mark on the letter before")]
    [TestCase("日本 é", "日本 é")]
    public void What_is_not_printable_is_escaped(string? text, string shown) =>
        Assert.That(Printable.Text(text), Is.EqualTo(shown));

    [TestCase("web", 3, "web")]
    [TestCase("webs", 3, "we…")]
    [TestCase("日本語", 6, "日本語")]
    [TestCase("日本語", 5, "日本…")]
    [TestCase("日本語", 4, "日…")]
    public void Texts_are_cut_by_columns(string text, int columns, string cut) =>
        Assert.That(Printable.Cut(text, columns), Is.EqualTo(cut));

    /// <summary>As docker's units.BytesSize.</summary>
    [TestCase(null, "-")]
    [TestCase(0, "0B")]
    [TestCase(1023, "1023B")]
    [TestCase(1 << 20, "1MiB")]
    [TestCase(1_572_864, "1.5MiB")]
    [TestCase(2_096_824_320, "1.953GiB")]
    [TestCase(1_073_741_823, "1024MiB")]
    [TestCase(long.MaxValue, "8EiB")]
    public void Sizes_are_as_docker_stats_writes_them(long? bytes, string size) =>
        Assert.That(Figure.Size(bytes), Is.EqualTo(size));

    [TestCase(1, 8, "12.50%")]
    [TestCase(null, 8, "-")]
    [TestCase(1, null, "-")]
    [TestCase(1, 0, "-")]
    public void A_share_is_in_percent(long? used, long? limit, string percent) =>
        Assert.That(Figure.Percent(Figure.Share(used, limit)), Is.EqualTo(percent));

    [TestCase(10, "\e[?7l\e[Ha\e[K\nb\e[K\nc\e[K\n\e[J\e[?7h")]
    [TestCase(3, "\e[?7l\e[Ha\e[K\n... 2 more\e[K\n\e[J\e[?7h")]
    public void A_frame_fits_the_screen_and_leaves_the_cursor_below(int height, string frame) =>
        Assert.That(new Terminal(true, false, () => height).Frame(["a", "b", "c"]), Is.EqualTo(frame));
}
