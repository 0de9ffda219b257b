#!/bin/sh
# Makes the files of this folder: recordings in each format, encoded by SoX or FFmpeg,
# and for each the samples that SoX decodes from it, as PCM of 16 bits without a header. FFmpeg
# decodes all of them to the same bits except IMA ADPCM: there it multiplies where the
# recommendation adds shifted steps, and rounds differently.
#
#	apt-get install sox ffmpeg; sh make.sh
set -eu
sox -D -R -n -r 8000 -c 1 -b 16 mono.tmp.wav synth 0.5 pinknoise synth 0.5 sine mix 300-3000 gain -6
sox -D -R -n -r 8000 -c 2 -b 16 stereo.tmp.wav synth 0.5 sine 300-3000 sine 2500-200 gain -3
sox -D mono.tmp.wav -e gsm-full-rate gsm.wav
sox -D mono.tmp.wav -e ima-adpcm ima-mono.wav
sox -D stereo.tmp.wav -e ima-adpcm ima-stereo.wav
ffmpeg -v error -y -i stereo.tmp.wav -c:a adpcm_ima_wav ima-ffmpeg.wav
sox -D mono.tmp.wav -e mu-law ulaw.au
sox -D mono.tmp.wav -e a-law alaw.au
sox -D mono.tmp.wav -e signed -b 8 pcm8.au
sox -D stereo.tmp.wav -e signed -b 16 pcm16.au
for f in gsm.wav ima-mono.wav ima-stereo.wav ima-ffmpeg.wav ulaw.au alaw.au pcm8.au pcm16.au; do
	sox -D "$f" -t raw -e signed -b 16 -L "$f.pcm"
done
for f in gsm.wav ulaw.au alaw.au pcm8.au pcm16.au; do
	ffmpeg -v error -y -i "$f" -f s16le ffmpeg.tmp.pcm 2>/dev/null || :
	cmp "$f.pcm" ffmpeg.tmp.pcm
done
rm ./*.tmp.*
